"""Servers, processes and requests of ``copies=2`` in one thread and in no time, for one session: in
which order things happen is chosen from outside, step by step.

The verbs are the real ones. What processes think of servers is made up, within what
``membership.py`` sees to: nobody relies on a server while another one goes without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sessionstore.core.errors import NotReplicated, OutcomeUnknown, StoreError, StoreUnavailable
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import Conflict, Deleted, Entry, Exists, Missing
from sessionstore.stores.memcached import copies
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.items import Held, Item, Kind
from sessionstore.stores.memcached.membership import Places
from sessionstore.stores.memcached.messages import Outcome, Reply, Request, Verb
from sessionstore.stores.memcached.notes import State
from sessionstore.stores.memcached.routing import Look
from sessionstore.stores.memcached.topology import Node
from tests.concurrency.history import PENDING, Operation

KEY = b"session"
TTL = 100_000.0
IN_USE = (State.IN, State.JOINING)


@dataclass(eq=False)
class Server:
    """memcached, as far as one key goes.

    :param answers: False: it is frozen, or not running
    :param lost: somebody has noted that it is
    """

    node: Node
    run: int = 0
    cas: int = 0
    item: tuple[bytes, int, float] | None = None
    answers: bool = True
    lost: bool = False

    def reply(self, request: Request, now: float) -> Reply:
        """Execute a request."""
        if self.item is not None and self.item[2] <= now:
            self.item = None
        there = self.item
        verb = request.verb
        if verb is Verb.GET:
            return Reply(Outcome.OK, there[0], there[1]) if there else Reply(Outcome.MISSING)
        if verb is Verb.ADD and there is not None:
            return Reply(Outcome.NOT_STORED)
        if verb in {Verb.REPLACE, Verb.DELETE}:
            if there is None:
                return Reply(Outcome.MISSING)
            if request.cas not in {0, there[1]}:
                return Reply(Outcome.EXISTS)
        if verb is Verb.DELETE:
            self.item = None
            return Reply(Outcome.OK)
        self.cas += 1
        self.item = (request.value, self.cas, now + request.ttl)
        return Reply(Outcome.OK, cas=self.cas)

    def empty(self) -> None:
        """It is started anew. That a CAS number comes again is too unlikely to matter."""
        self.run += 1
        self.cas = self.run * 1000
        self.item = None

    def stored(self, now: float) -> Item | None:
        if self.item is None or self.item[2] <= now:
            return None
        return Item.unpack(Entry(*self.item[:2]))


@dataclass(eq=False)
class Process:
    """What one process thinks of each server.

    :param runs: the content that it knows of
    :param doubts: whom it does not trust for a moment, unlike the others
    """

    states: dict[Node, State]
    runs: dict[Node, int]
    doubts: set[Node] = field(default_factory=set)

    def state(self, node: Node) -> State:
        state = self.states[node]
        return State.LEAVING if node in self.doubts and state is not State.OUT else state


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


def number_of(record: bytes) -> int:
    """Of the write that stored it."""
    return int(record[1:].split(b",")[0])


def numbers_of(record: bytes) -> list[int]:
    """The last writes that are in it."""
    return [int(each) for each in record[1:].split(b",")]


class World:
    """All of it.

    :param choose: ``choose(n)`` is a number below n
    """

    def __init__(self, choose: Callable[[int], int], *, servers: int = 3, processes: int = 2):
        self.choose = choose
        self.now = 1_800_000_000.0
        self.steps = count(1)
        self.step_now = 0
        self.writes = count(1)
        nodes = [Node(Endpoint(host=label), 1.0) for label in "abc"[:servers]]
        self.servers = {node: Server(node) for node in nodes}
        self.processes = [
            Process(dict.fromkeys(nodes, State.IN), dict.fromkeys(nodes, 0))
            for _ in range(processes)
        ]
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
        self.gone = False
        """Whether somebody has not found it."""
        self.log: list[str] = []

    # -- time --

    def tick(self) -> int:
        self.step_now = next(self.steps)
        return self.step_now

    def say(self, text: str) -> None:
        self.log.append(f"{self.step_now:4} {text}")

    # -- requests --

    def start(self, name: str, *, process: Process | None = None) -> None:
        """Begin one: of what an earlier one has loaded, or without."""
        process = process or self.processes[self.choose(len(self.processes))]
        entry = self.known[-1 - self.choose(min(len(self.known), 3))] if self.known else None
        task = self._task(process, name, entry)
        if task is not None:
            self.tasks.append(task)
            self.say(f"{self._who(task)} begins")
            self._advance(task, None)

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
            self._advance(task, self._places(task.process))
            return
        node: Any = command.route
        if not task.sent:
            if task.process.state(node) not in IN_USE:
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
        self.tick()
        node: Any = command.route
        if executed and self.servers[node].answers:
            self.servers[node].reply(command.request, self.now)
            self.say(f"{self._who(task)}: {self._what(command)}, and its reply is lost")
        else:
            self.stray.append((node, self.servers[node].run, command.request))
            self.say(f"{self._who(task)}: {self._what(command)} is under way for long")
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
        if server.run == run and server.answers:
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
        try:
            task.waits = task.flow.throw(error)
        except StopIteration as stop:
            self._ended(task, stop.value)
        except StoreError as failure:
            self._failed(task, failure)

    def abandon(self, task: Task) -> None:
        """Its process is killed, or it is cancelled."""
        self.tick()
        command = task.waits
        if command is not None and task.sent:
            node: Any = command.route
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

    # -- what processes think of servers --

    def _places(self, process: Process) -> Places:
        look: list[Node] = []
        make: list[Node] = []
        others: list[Node] = []
        for node in self.servers:
            state = process.state(node)
            if state is State.OUT:
                continue
            if len(make) == 2:
                others.append(node)
            else:
                look.append(node)
                if state is not State.JOINING:
                    make.append(node)
        joining = frozenset(node for node in self.servers if process.state(node) is State.JOINING)
        return Places(tuple(look), tuple(make or look), tuple(others), self.now, joining)

    def opinions(self, node: Node) -> Iterator[tuple[State, int]]:
        return ((process.states[node], process.runs[node]) for process in self.processes)

    def learn(self, process: Process, node: Node) -> bool:
        """The next thing that this process can find out about a server, if there is any."""
        server, state = self.servers[node], process.states[node]
        if process.runs[node] < server.run and server.answers:
            new = State.JOINING
            process.runs[node] = server.run
        elif state is State.IN and server.lost:
            new = State.LEAVING
        elif state is State.LEAVING and all(
            each in {State.LEAVING, State.OUT} for each, _ in self.opinions(node)
        ):
            new = State.OUT
        elif (
            state is State.JOINING
            and not server.lost
            and all(
                each in {State.JOINING, State.IN} and run == server.run
                for each, run in self.opinions(node)
            )
        ):
            new = State.IN
        else:
            return False
        process.states[node] = new
        self.tick()
        place = self.processes.index(process)
        self.say(f"process {place}: {node.endpoint.label} is {new.name}")
        return True

    def doubt(self, process: Process, node: Node) -> None:
        process.doubts ^= {node}

    # -- what may happen to one server at a time --

    def may_be_lost(self) -> bool:
        """Whether all is well, so that one server may be lost, or what it has."""
        if not all(
            state is State.IN and run == server.run and server.answers and not server.lost
            for node, server in self.servers.items()
            for state, run in self.opinions(node)
        ):
            return False
        items = [server.stored(self.now) for server in self.servers.values()]
        there = [item for item in items if item is not None]
        if self.destroyed:
            gone = sum(item.kind is Kind.GONE for item in there)
            return gone >= 2 or not there
        # An unfinished write, or one that was not replicated, may get lost; nothing else may.
        safe = [
            item
            for item in there
            if item.kind is not Kind.GONE and (self.strong is None or item.rank >= self.strong)
        ]
        return len(safe) >= 2

    def lose(self, node: Node, how: str, *, hard: bool = False) -> None:
        """Kill it, freeze it, start it anew at once, or have it evict the session.

        :param hard: even if what another one had has not been made good yet
        """
        quiet = not self.tasks and not self.stray
        safe = self.may_be_lost()
        if not safe and not (hard and quiet and self.servers[node].answers):
            return
        began, server = self.tick(), self.servers[node]
        self.losses.append(began)
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

    def note(self, node: Node) -> None:
        """It has been silent for long enough."""
        server = self.servers[node]
        if not server.answers:
            server.lost = True

    def wake(self, node: Node) -> None:
        """It goes on, with what it had; if it is lost, it is empty."""
        server = self.servers[node]
        if not server.answers:
            self.tick()
            self.say(f"{node.endpoint.label} is back")
            if server.lost and self.choose(2):
                server.answers = True  # it is kept out
            else:
                if server.lost:
                    server.empty()
                server.answers, server.lost = True, False
        elif server.lost:
            server.empty()
            server.lost = False

    # -- the end --

    def finish(self) -> None:
        """Every request ends; what is under way arrives, or does not."""
        while self.tasks:
            self.advance(self.tasks[0])
        while self.stray:
            self.arrive()

    def heal(self) -> None:
        """All servers are used by all."""
        for process in self.processes:
            process.doubts.clear()
        for node, server in self.servers.items():
            if server.lost:
                server.empty()
            server.answers, server.lost = True, False
            while any([self.learn(process, node) for process in self.processes]):  # noqa: C419 (all learn)
                pass

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
