"""The servers of a simulation of ``copies=2``, as far as one key goes, and what processes think of
them, within what ``membership.py`` sees to: nobody relies on a server while another one goes
without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from sessionstore.stores.base import Entry
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.items import Item
from sessionstore.stores.memcached.messages import Outcome, Reply, Request, Verb
from sessionstore.stores.memcached.notes import State
from sessionstore.stores.memcached.places import Places, places_in
from sessionstore.stores.memcached.topology import Node

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


class Cluster:
    """Some servers and processes.

    :param choose: ``choose(n)`` is a number below n
    """

    def __init__(self, choose: Callable[[int], int], servers: int, processes: int) -> None:
        self.choose = choose
        self.now = 1_800_000_000.0
        self.steps = count(1)
        self.step_now = 0
        self.nodes = [Node(Endpoint(host=label), 1.0) for label in "abcd"[:servers]]
        self.servers = {node: Server(node) for node in self.nodes}
        self.processes = [
            Process(dict.fromkeys(self.nodes, State.IN), dict.fromkeys(self.nodes, 0))
            for _ in range(processes)
        ]
        self.log: list[str] = []

    def tick(self) -> int:
        self.step_now = next(self.steps)
        return self.step_now

    def say(self, text: str) -> None:
        self.log.append(f"{self.step_now:4} {text}")

    def places(self, process: Process) -> Places:
        states = {node: process.state(node) for node in self.nodes}
        return places_in(self.nodes, states)._replace(now=self.now)

    def opinions(self, node: Node) -> Iterator[tuple[State, int]]:
        return ((process.states[node], process.runs[node]) for process in self.processes)

    def all_learn(self, node: Node) -> None:
        """Until there is nothing more."""
        while any(self.learn(process, node) for process in self.processes):
            pass

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

    def heal(self) -> None:
        """All servers are used by all."""
        for process in self.processes:
            process.doubts.clear()
        for node, server in self.servers.items():
            if server.lost:
                server.empty()
            server.answers, server.lost = True, False
            self.all_learn(node)
