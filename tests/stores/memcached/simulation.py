"""Several processes and several servers in one thread and in no time: what processes agree on while
servers freeze, wake, restart and are cut off, and processes are suspended.

The processes' code is the real one, but for its threads and its network.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sessionstore.core.errors import StoreError, StoreUnavailable
from sessionstore.core.flow import Command, Flow, run
from sessionstore.stores.attempts import Failure
from sessionstore.stores.memcached import spread
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.membership import PACE, Membership, Pace
from sessionstore.stores.memcached.messages import Outcome, Reply, Request, Verb
from sessionstore.stores.memcached.notes import Run, State, pack, unpack
from sessionstore.stores.memcached.routing import Look
from sessionstore.stores.memcached.topology import Fixed, Node

EPOCH = 1_800_000_000
SILENCE = 3.0
QUIET = 2.0
"""Seconds in which everybody who is awake and not cut off has heard a server."""


@dataclass
class Server:
    """One that holds notes and sessions.

    :param answers: False: it is frozen, and keeps what it has
    """

    label: str
    started: int
    answers: bool = True
    killed: bool = False
    flushes: int = 0
    emptied: float = -QUIET
    back: float = -QUIET
    cas: int = 0
    notes: tuple[int, bytes] | None = None
    sessions: dict[bytes, int] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        return Run(self.started, self.flushes)

    def empty(self, now: float) -> None:
        self.emptied = self.back = now
        self.notes = None
        self.sessions.clear()

    def store_notes(self, value: bytes, expected: int | None) -> None:
        """As `add`, or as `cas`."""
        if expected == (self.notes[0] if self.notes else None):
            self.cas += 1
            self.notes = (self.cas, value)

    def reply(self, request: Request) -> Reply:
        """To a request about a session."""
        if request.verb is Verb.ADD:
            self.cas += 1
            self.sessions[request.key] = self.cas
            return Reply(Outcome.OK, cas=self.cas)
        if request.key not in self.sessions:
            return Reply(Outcome.MISSING)
        if request.verb is Verb.DELETE:
            del self.sessions[request.key]
            return Reply(Outcome.OK)
        return Reply(Outcome.OK, b"", self.sessions[request.key])


class Process:
    """An application's process."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        nodes = [Node(Endpoint(host=label), 1.0) for label in world.servers]
        self.membership = Membership(
            Fixed(nodes),
            silence=SILENCE,
            keep_out=world.keep_out,
            pace=world.pace,
            clock=lambda: world.now,
            wall=lambda: EPOCH + world.now,
        )
        self.membership.begin()
        self.suspended = False
        self.deferred: list[Callable[[], None]] = []
        for node in nodes:
            self.look(node)

    # -- its vigils --

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do it then, or when it is not suspended any more."""

        def when_awake() -> None:
            if self.suspended:
                self.deferred.append(act)
            elif self in self.world.processes:
                act()

        self.world.later(seconds, when_awake)

    def look(self, node: Node) -> None:
        """Ask a server; the answer is on its way for some time."""
        world, began = self.world, self.world.now
        server = world.servers[node.endpoint.label]
        limit, draw = world.pace.look, world.random
        out = draw.uniform(0, limit * draw.choice((0.02, 0.9)))
        back = draw.uniform(0, (limit - out) * draw.choice((0.02, 0.9)))

        def arrive() -> None:
            if world.reaches(self, server):
                run, notes = server.run, server.notes
                self.later(back, lambda: self.told(node, server, run, notes, began))
            else:
                self.later(limit - out, lambda: self.missed(node, began))

        world.later(out, arrive)

    def told(
        self, node: Node, server: Server, run: Run, notes: tuple[int, bytes] | None, began: float
    ) -> None:
        self.membership.told(node, run, unpack(notes[1] if notes else b""), began)
        wanted = self.membership.wanted_on(node)
        if wanted is not None:
            value, expected = pack(wanted), notes[0] if notes else None
            delay = self.world.random.uniform(0, 0.05)
            self.world.later(
                delay,
                lambda: (
                    server.store_notes(value, expected)
                    if self.world.reaches(self, server)
                    else None
                ),
            )
        self.pause(node)

    def missed(self, node: Node, began: float) -> None:
        self.membership.missed(node, began)
        self.pause(node)

    def pause(self, node: Node) -> None:
        seconds = self.world.pace.pause * self.world.random.uniform(0.8, 1)
        self.later(seconds, lambda: self.look(node))

    # -- its requests --

    def do(self, flow: Flow[Any]) -> Any:
        """Carry a verb.

        :raises StoreError: it failed
        """
        return run(flow, self._execute)

    def _execute(self, command: Command[Any]) -> Any:
        membership = self.membership
        if not membership.is_current():
            raise StoreUnavailable("not current")
        try:
            if command.request is Look.PLACES:
                return membership.places(command.key)
            node: Any = command.route
            membership.check(node)
        except Failure as failure:
            raise failure.error from None
        server = self.world.servers[node.endpoint.label]
        if not self.world.reaches(self, server):
            raise StoreUnavailable("no answer")
        return server.reply(command.request)

    def states(self) -> dict[str, State]:
        """By the server's label."""
        membership = self.membership
        return {node.endpoint.label: membership.state(node) for node in membership.topology.nodes()}


@dataclass
class Session:
    """One that was made.

    :param on: the server, and its content then
    :param gone: when somebody was told that it is nowhere
    """

    key: bytes
    on: tuple[str, Run]
    gone: float | None = None


class World:
    """All of them."""

    def __init__(
        self, seed: int, servers: int, processes: int, *, pace: Pace = PACE, keep_out: float = 1e6
    ) -> None:
        self.random = random.Random(seed)
        self.pace = pace
        self.keep_out = keep_out
        self.now = 100.0
        self.servers = {name: Server(name, EPOCH) for name in "abcdef"[:servers]}
        self.processes: list[Process] = []
        self.cuts: set[tuple[Process, str]] = set()
        self.sessions: list[Session] = []
        self.blind_until = -QUIET
        """Nobody can know better: the only server that answers has just come back, empty."""
        self.left: set[str] = set()
        """Servers that anybody has ever left out, or begun to."""
        self.served = self.refused = self.seen = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        for _ in range(processes):
            self.spawn()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), act))

    def reaches(self, process: Process, server: Server) -> bool:
        return server.answers and (process, server.label) not in self.cuts

    def pass_time(self, seconds: float, *, requests: bool = True) -> None:
        """Let it all happen."""
        until = self.now + seconds
        if requests:
            for _ in range(int(seconds * 12)):
                self.later(self.random.uniform(0, seconds), self.request)
        while self._events and self._events[0][0] <= until:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self.now = until

    # -- requests, and what must be true of them --

    def request(self) -> None:
        """Somebody wants something of somebody."""
        if self.now < self.blind_until:
            return
        self.check_agreement()
        awake = [process for process in self.processes if not process.suspended]
        process = self.random.choice(awake)
        what = self.random.random()
        if not self.sessions or what < 0.3:
            self.attempt(lambda: self.make(process))
            return
        session = self.random.choice(self.sessions[-40:])
        if what < 0.4:
            self.attempt(lambda: self.end(process, session))
        # Everybody at once.
        self.random.shuffle(awake)
        for process in awake:
            self.attempt(lambda process=process: self.load(process, session))  # type: ignore[misc]

    def attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
            self.served += 1
        except StoreError:
            self.refused += 1

    def check_agreement(self) -> None:
        """Nobody relies on a server for which somebody else has the next one."""
        relied: dict[str, Process] = {}
        without: dict[str, Process] = {}
        for process in self.processes:
            if process.suspended or not process.membership.is_current():
                continue
            states = process.states()
            self.left |= {label for label, state in states.items() if state >= State.LEAVING}
            if min(states.values()) >= State.LEAVING:
                continue  # it has nothing to go on with
            for label, state in states.items():
                if state is State.IN:
                    relied[label] = process
                elif state is State.OUT:
                    without[label] = process
        for label in relied.keys() & without.keys():
            names = relied[label].name, without[label].name
            raise AssertionError(f"{names[0]} relies on {label}, and {names[1]} goes without")

    def make(self, process: Process) -> None:
        key = b"s%d" % next(self._numbers)
        version = process.do(spread.create(key, b"", 60))
        server = self.servers[version.node.endpoint.label]
        self.sessions.append(Session(key, (server.label, server.run)))

    def load(self, process: Process, session: Session) -> None:
        entry = process.do(spread.load(session.key))
        if entry is None:
            assert not self.is_there(session), f"{process.name} does not find {session}"
            session.gone = self.now
        else:
            assert session.gone is None, f"{process.name} finds {session}, which was gone"
            self.seen += 1

    def end(self, process: Process, session: Session) -> None:
        process.do(spread.delete(session.key, None))
        session.gone = self.now

    def is_there(self, session: Session) -> bool:
        """Whether everybody must find it: on a server that nobody ever doubted."""
        label, run = session.on
        lost_before = session.gone is not None or self.servers[label].run != run
        return not lost_before and not self.left

    # -- what may happen --

    def spawn(self) -> None:
        if any(self.now - server.back < QUIET for server in self.servers.values()):
            return  # that server has no notes yet: see docs/memcached.md
        self.processes.append(Process(self, f"process {next(self._numbers)}"))

    def exit(self, index: int) -> None:
        process = self.processes[index % len(self.processes)]
        if sum(not other.suspended for other in self.processes if other is not process):
            self.processes.remove(process)

    def suspend(self, index: int) -> None:
        process = self.processes[index % len(self.processes)]
        if sum(not other.suspended for other in self.processes if other is not process):
            process.suspended = True

    def resume(self) -> None:
        if any(self.now - server.emptied < QUIET for server in self.servers.values()):
            return  # as above
        for process in self.processes:
            if process.suspended:
                process.suspended = False
                deferred, process.deferred = process.deferred, []
                for act in deferred:
                    act()

    def freeze(self, label: str) -> None:
        server = self.servers[label]
        others = [other for other in self.servers.values() if other is not server]
        # That it is empty must be known to more than to itself.
        known = any(
            note.run >= server.run
            for other in others
            for name, note in unpack(other.notes[1] if other.notes else b"").items()
            if name == label
        )
        if known and self.now - server.emptied >= QUIET:
            server.answers = False

    def wake(self, label: str) -> None:
        """It goes on, or it was killed and is started now."""
        server = self.servers[label]
        if not server.answers and not (server.killed and self.leaves_somebody_alone(server)):
            server.answers, server.back = True, self.now
            if server.killed:
                server.killed = False
                self.is_empty(server)

    def restart(self, label: str) -> None:
        server = self.servers[label]
        if self.leaves_somebody_alone(server):
            return
        started = int(EPOCH + self.now) - 2
        if started > server.started:
            server.started, server.flushes, server.answers, server.killed = started, 0, True, False
            self.is_empty(server)

    def is_empty(self, server: Server) -> None:
        server.empty(self.now)
        if not any(other.answers for other in self.servers.values() if other is not server):
            self.blind_until = self.now + QUIET

    def kill(self, label: str) -> None:
        """What it had is gone, and it does not come back yet."""
        server = self.servers[label]
        server.answers, server.killed = False, True
        server.empty(self.now)
        server.started = int(EPOCH + self.now) - 2  # or later, when it is started

    def flush(self, label: str) -> None:
        server = self.servers[label]
        if server.answers and not self.leaves_somebody_alone(server):
            server.flushes += 1
            self.is_empty(server)

    def leaves_somebody_alone(self, server: Server) -> bool:
        """Without notes for a moment, once this one is emptied: see docs/memcached.md."""
        others = [other for other in self.servers.values() if other is not server]
        served = {
            any(self.reaches(process, other) for other in others)
            for process in self.processes
            if not process.suspended
        }
        return len(served) == 2

    def cut(self, index: int, label: str) -> None:
        """Only one server's links at a time: who shares no server with another cannot agree."""
        if all(name == label for _, name in self.cuts):
            self.cuts.add((self.processes[index % len(self.processes)], label))

    def heal(self) -> None:
        self.cuts.clear()

    def live(self) -> None:
        """Through whatever may happen, to a good end.

        :raises AssertionError: they did not agree
        """
        draw = self.random
        of_a_server = [*[self.freeze] * 3, *[self.wake] * 2, self.restart, self.kill, self.flush]
        of_a_process = [self.exit, self.suspend, self.suspend]
        of_all = [self.heal, self.resume, self.resume, self.spawn]
        self.pass_time(4)
        for _ in range(draw.randrange(2, 20)):
            label, index = draw.choice(list(self.servers)), draw.randrange(6)
            match draw.choices("spac", (8, 3, 4, 2))[0]:
                case "s":
                    draw.choice(of_a_server)(label)
                case "p":
                    draw.choice(of_a_process)(index)
                case "a":
                    draw.choice(of_all)()
                case _:
                    self.cut(index, label)
            self.pass_time(draw.choice((1, 4, 12)) * draw.random() + 0.05)
        self.recover()
        for process in self.processes:
            assert set(process.states().values()) == {State.IN}, (process.name, process.states())

    def recover(self) -> None:
        """Everything works again, and nobody is out for good."""
        self.heal()
        self.pass_time(QUIET)
        self.resume()
        for act in (self.wake, self.restart):
            for label in self.servers:
                act(label)
                self.pass_time(8)
