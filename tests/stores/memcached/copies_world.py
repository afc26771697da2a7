"""Requests of ``copies=2`` in one thread and in no time, for one session: in which order things
happen is chosen from outside, step by step. The verbs are the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from sessionstore.core.errors import NotReplicated, OutcomeUnknown, StoreError, StoreUnavailable
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import Conflict, Deleted, Entry, Exists, Missing
from sessionstore.stores.memcached import copies
from sessionstore.stores.memcached.items import Held, Item, Kind, mark
from sessionstore.stores.memcached.messages import Request, Verb
from sessionstore.stores.memcached.routing import Look
from sessionstore.stores.memcached.topology import Node
from tests.concurrency.history import PENDING, Operation
from tests.stores.memcached.copies_servers import IN_USE, Cluster, Process

KEY = b"session"
TTL = 100_000.0


@dataclass(eq=False)
class Task:
    """A request's use of the store: one verb, and what it is waiting for."""

    process: Process
    flow: Flow[Any]
    name: str
    arguments: tuple[Any, ...]
    began: int
    record: bytes = b""
    version: Held | None = None
    waits: Command[Any] | None = None
    sent: bool = False
    again: bool = False
    adds: bool = False
    """Whether it has added a copy, and is to see whether that counts."""


def number_of(record: bytes) -> int:
    """Of the write that stored it."""
    return int(record[1:].split(b",")[0])


def numbers_of(record: bytes) -> list[int]:
    """The last writes that are in it."""
    return [int(each) for each in record[1:].split(b",")]


class World(Cluster):
    """All of it."""

    def __init__(self, choose: Callable[[int], int], *, servers: int = 3, processes: int = 2):
        super().__init__(choose, servers, processes)
        self.writes = count(1)
        self.tasks: list[Task] = []
        self.stray: list[tuple[Node, int, Request]] = []
        """Requests that are still under way when nobody waits any more: with the server's run."""
        self.history: list[Operation] = []
        self.known: list[Entry] = []
        """What requests have loaded."""
        self.strong: tuple[int, int] | None = None
        """The newest write, by term and number, that was acknowledged as stored twice."""
        self.destroyed = False
        self.losses: list[int] = []
        self.bare = False
        """Whether a tombstone was lost. Who was adding a copy just then finds out afterwards, and
        so must live to do it: see docs/memcached.md."""
        self.unsure = False
        """Whether somebody could not do it: what was added may be older than the home."""
        self.gone = False
        """Whether somebody has not found it."""

    # -- requests --

    def start(self, name: str, *, process: Process | None = None) -> Task | None:
        """Begin one: of what an earlier one has loaded, or without."""
        process = process or self.processes[self.choose(len(self.processes))]
        entry = self.known[-1 - self.choose(min(len(self.known), 3))] if self.known else None
        task = self._task(process, name, entry)
        if task is not None:
            self.tasks.append(task)
            self.say(f"{self._who(task)} begins")
            self._advance(task, None)
        return task

    def _task(self, process: Process, name: str, entry: Entry | None) -> Task | None:
        began = self.tick()
        if name == "create":
            record = b"\x01%d" % next(self.writes)
            flow: Flow[Any] = copies.create(KEY, record, TTL)
            return Task(process, flow, name, (number_of(record),), began, record)
        if name == "load":
            return Task(process, copies.load(KEY), name, (), began)
        if name == "delete":
            return Task(process, copies.delete(KEY, None), name, (None,), began)
        if entry is None:
            return None
        assert isinstance(entry.version, Held)
        old = numbers_of(entry.value)
        if name == "end":
            flow = copies.delete(KEY, entry.version)
            return Task(process, flow, "delete", (old[0],), began, version=entry.version)
        numbers = [next(self.writes), *old][:4]
        record = b"\x01" + b",".join(b"%d" % each for each in numbers)
        flow = copies.replace(KEY, record, TTL, entry.version)
        arguments = (numbers[0], old[0])
        return Task(process, flow, name, arguments, began, record, entry.version)

    def _who(self, task: Task) -> str:
        process = self.processes.index(task.process)
        return f"{task.name}{task.arguments}@{task.began} of process {process}"

    def advance(self, task: Task) -> None:
        """One step: it is sent, or it is executed and answered."""
        self.tick()
        command = task.waits
        assert command is not None
        if command.request is Look.PLACES:
            self._advance(task, self.places(task.process))
            return
        node: Any = command.route
        if not task.sent:
            confirms = self.bare and task.adds
            if task.process.state(node) not in IN_USE and not confirms:
                self._throw(task, StoreUnavailable(f"{node.name} is left out"))
            else:
                task.sent = True
            return
        server = self.servers[node]
        if not server.answers:
            self.lose_reply(task)
            return
        reply = server.reply(command.request, self.now)
        self.say(f"{self._who(task)}: {self._what(command)} -> {reply.outcome.name}")
        task.sent = False
        task.adds = task.adds or command.request.verb is Verb.ADD
        self._advance(task, command.decode(reply))

    def _what(self, command: Command[Any]) -> str:
        request, node = command.request, command.route
        text = f"{request.verb.name} {node.endpoint.label}"  # type: ignore[attr-defined]
        if request.value:
            item = Item.unpack(Entry(request.value, 0))
            text += f" {item.kind.name} {item.term}.{item.number} {item.record!r}"
        return text

    def lose_reply(self, task: Task, *, executed: bool | None = None) -> None:
        """It is not heard of again; the request may be executed now, later, or never."""
        command = task.waits
        if command is None or command.request is Look.PLACES or not task.sent:
            return
        if self.bare and self.servers[command.route].answers:  # type: ignore[index]
            return
        self.tick()
        node: Any = command.route
        if executed and self.servers[node].answers:
            self.servers[node].reply(command.request, self.now)
            self.say(f"{self._who(task)}: {self._what(command)}, and its reply is lost")
        else:
            self.stray.append((node, self.servers[node].run, command.request))
            self.say(f"{self._who(task)}: {self._what(command)} is under way for long")
        self.unsure = self.unsure or command.request.verb is Verb.ADD
        task.sent = False
        kind = OutcomeUnknown if command.write else StoreUnavailable
        self._throw(task, kind("no reply", node=node.name))

    def arrive(self) -> None:
        """A request arrives late."""
        if not self.stray:
            return
        self.tick()
        node, run, request = self.stray.pop(self.choose(len(self.stray)))
        server = self.servers[node]
        if server.run == run and server.answers and not (self.bare and request.verb is Verb.ADD):
            server.reply(request, self.now)
            self.say(f"late: {request.verb.name} {node.endpoint.label}")

    def _advance(self, task: Task, reply: Any) -> None:
        try:
            task.waits = next(task.flow) if task.waits is None else task.flow.send(reply)
        except StopIteration as stop:
            self._ended(task, stop.value)
        except StoreError as error:
            self._failed(task, error)

    def _throw(self, task: Task, error: StoreError) -> None:
        self.unsure = self.unsure or task.adds
        try:
            task.waits = task.flow.throw(error)
        except StopIteration as stop:
            self._ended(task, stop.value)
        except StoreError as failure:
            self._failed(task, failure)

    def abandon(self, task: Task) -> None:
        """Its process is killed, or it is cancelled."""
        if self.bare:
            return
        self.unsure = self.unsure or task.adds
        self.tick()
        command = task.waits
        if command is not None and task.sent:
            node: Any = command.route
            self.unsure = self.unsure or command.request.verb is Verb.ADD
            self.stray.append((node, self.servers[node].run, command.request))
        self.tasks.remove(task)
        self.say(f"{self._who(task)} is abandoned")
        task.flow.close()
        self._record(task, None, unknown=True)

    # -- what came of them --

    def _ended(self, task: Task, result: Any, *, weak: bool = False) -> None:
        self.tasks.remove(task)
        self.tick()
        done = "weak" if weak else "done"
        outcome: Any
        match result:
            case Conflict(entry) if task.again and number_of(task.record) in numbers_of(
                entry.value
            ):
                self.known.append(entry)
                outcome = done  # as the session manager has it
            case Conflict(entry):
                self.known.append(entry)
                outcome = ("conflict", number_of(entry.value))
            case Entry():
                self.known.append(result)
                outcome = number_of(result.value)
            case None:
                outcome = None
                self.gone = True
            case Missing():
                outcome = "missing"
                self.gone = True
            case Exists():
                outcome = "exists"
            case Deleted():
                outcome = done
                self.destroyed = self.destroyed or not weak
            case Held():
                self.known.append(Entry(task.record, result))
                if not weak:
                    self.strong = max(self.strong or (0, 0), result.item.rank)
                outcome = done
        # Sent twice, it may have been executed the first time, and superseded since.
        unknown = task.again and outcome not in {"done", "weak"}
        self._record(task, outcome, unknown=unknown)

    def _failed(self, task: Task, error: StoreError) -> None:
        if isinstance(error, NotReplicated):
            self._ended(task, error.result, weak=True)
            return
        if isinstance(error, OutcomeUnknown) and task.name == "replace" and not task.again:
            # The session manager sends it again, byte for byte.
            assert task.version is not None
            self.say(f"{self._who(task)} is sent again: {error}")
            task.again, task.waits, task.sent = True, None, False
            task.flow = copies.replace(KEY, task.record, TTL, task.version)
            self._advance(task, None)
            return
        self.tasks.remove(task)
        self.tick()
        self.say(f"{self._who(task)}: {error!r}")
        # That one was sent again makes what it was at first no surer.
        unknown = isinstance(error, OutcomeUnknown) or task.again
        if task.name != "load" and unknown:
            self._record(task, None, unknown=True)

    def _record(self, task: Task, outcome: Any, *, unknown: bool = False) -> None:
        if unknown and task.name == "load":
            return
        if outcome in {None, "missing"} and not unknown and self._looked_behind(task):
            self.say(f"{self._who(task)} = {outcome}, which does not count")
            return
        if not unknown:
            self.say(f"{self._who(task)} = {outcome}")
        returned = PENDING if unknown else self.step_now
        operation = Operation("", task.name, task.arguments, outcome, task.began, returned)
        self.history.append(operation)

    def _looked_behind(self, task: Task) -> bool:
        """Whether a second server was lost while it was looking: what had been made good after the
        first loss may have been where it had looked already. See docs/memcached.md."""
        return len(self.losses) > 1 and task.began < self.losses[-1]

    # -- what may happen to one server at a time --

    def may_be_lost(self) -> bool:
        """Whether all is well, so that one server may be lost, or what it has."""
        if not all(
            state in IN_USE and server.answers and not server.lost
            for node, server in self.servers.items()
            for state, _ in self.opinions(node)
        ):
            return False
        items = {node: server.stored(self.now) for node, server in self.servers.items()}
        there = {node: item for node, item in items.items() if item is not None}
        if self.destroyed:
            gone = sum(item.kind is Kind.GONE for item in there.values())
            return gone >= 2 or not there
        # An unfinished write, or one that was not replicated, may get lost; nothing else may.
        safe = {
            mark(node): item
            for node, item in there.items()
            if item.kind is not Kind.GONE and (self.strong is None or item.rank >= self.strong)
        }
        return any(item.kind is Kind.HOME and item.copy in safe for item in safe.values())

    def lose(self, node: Node, how: str, *, hard: bool = False) -> None:
        """Kill it, freeze it, start it anew at once, or have it evict the session.

        :param hard: even if what another one had has not been made good yet
        """
        quiet = not self.tasks and not self.stray
        safe = self.may_be_lost()
        if self.bare and not quiet:
            return
        if not safe and not (hard and quiet and not self.unsure and self.servers[node].answers):
            return
        if how == "freeze" and all(run < self.servers[node].run for _, run in self.opinions(node)):
            return  # that it was empty must be known to somebody: see docs/memcached.md
        began, server = self.tick(), self.servers[node]
        self.losses.append(began)
        self.bare = self.bare or self.destroyed
        self.say(f"{how} {node.endpoint.label}{'' if safe else ', too'}")
        self.history.append(Operation("", "lose", (safe,), None, began, PENDING))
        if how == "evict":
            server.item = None
        elif how == "restart":
            server.empty()
        else:
            server.answers = False
            if how == "kill":
                server.empty()

    # -- the end --

    def run(self, task: Task | None, steps: int = 1000) -> None:
        """Let one request go on alone."""
        for _ in range(steps):
            if task in self.tasks:
                self.advance(task)  # type: ignore[arg-type]

    def finish(self) -> None:
        """Every request ends; what is under way arrives, or does not."""
        while self.tasks:
            self.run(self.tasks[0])
        while self.stray:
            self.arrive()

    def last_looks(self) -> None:
        """Once more when all is well, and when there are no tombstones any more."""
        self.finish()
        self.heal()
        for _ in range(2):
            for process in self.processes:
                self.start("load", process=process)
                self.finish()
            self.now += copies.TOMBSTONE_SECONDS + 1
            self.say("the tombstones are gone")
