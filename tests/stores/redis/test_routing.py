"""Which node a command goes to, by scripted answers: no server, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from sessionstore.core.errors import (
    NotReplicated,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.flow import Command, run
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.health import PROBE_SECONDS
from sessionstore.stores.redis.commands import Route
from sessionstore.stores.redis.durability import LATENESS, Confirmation
from sessionstore.stores.redis.endpoint import Endpoint, pack
from sessionstore.stores.redis.failures import Redirect, ReplyError
from sessionstore.stores.redis.recent import WINDOW, RecentWrites
from sessionstore.stores.redis.routing import (
    MAX_REDIRECTS,
    Exchange,
    Forget,
    Learn,
    Pause,
    Routing,
)
from sessionstore.stores.redis.topology import Node, Topology
from sessionstore.stores.servers.routing import Tried

TIMEOUT = 1.0
KEY = b"session:s:h"
GET = Command(("GET", KEY), key=KEY)
READ = Command(("GET", KEY), key=KEY, route=Route.REPLICA)
SET = Command(("SET", KEY, b"v"), key=KEY, write=True)
DURABLE = Command(("SET", KEY, b"v"), key=KEY, write=True, route=Route.DURABLE)


def node(name: str, role: str = "primary") -> Node:
    return Node(Endpoint(name), TIMEOUT, role)


class Servers(Topology):
    """What a test says."""

    def __init__(self, primary: Node | None, replicas: Sequence[Node] = ()) -> None:
        super().__init__("servers")
        self.primary = primary
        self.replicas = replicas
        self.suspects: list[Node] = []
        self.others: dict[tuple[str, int], Node] = {}

    def primary_for(self, key: bytes) -> Node | None:
        return self.primary

    def primaries(self) -> Sequence[Node]:
        return (self.primary,) if self.primary else ()

    def replicas_for(self, key: bytes) -> Sequence[Node]:
        return self.replicas

    def nodes(self) -> Sequence[Node]:
        return (*self.primaries(), *self.replicas)

    def redirected(self, redirect: Redirect, asked: Node) -> Node | None:
        return self.others.get((redirect.host, redirect.port))

    def suspect(self, node: Node) -> None:
        self.suspects.append(node)


Answer = Any | Callable[[Exchange], Any]


@pytest.fixture(params=["by the flow", "directly"], autouse=True)
def _first_attempt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes the first attempt, the outcome is the same."""
    monkeypatch.setattr(World, "direct", request.param == "directly")


class World:
    """Carries commands over a topology whose nodes answer what a test says, in order."""

    direct = False
    """Whether first attempts are made as transports make them."""

    def __init__(self, topology: Topology, *answers: Answer, replicas: bool = False) -> None:
        self.now = 1000.0
        self.answers = list(answers)
        self.steps: list[Any] = []
        self.recent = RecentWrites() if replicas else None
        self.routing = Routing(
            topology, TIMEOUT, recent=self.recent, clock=lambda: self.now, draw=lambda: 0.5
        )

    def carry(self, command: Command[Any], pinned: Node | None = None) -> Any:
        deadline = self.now + TIMEOUT
        first = self._first(command) if self.direct and pinned is None else None
        return run(self.routing.carry(command, deadline, pinned, first), self._do)

    def _first(self, command: Command[Any]) -> Tried | None:
        node = self.routing.direct(command)
        if node is None:
            return None
        until = self.now + self.routing.limit
        try:
            exchange = Exchange(node, (self.routing.request(command),), until)
            return Tried(node, self._do(Command(exchange)))
        except Failure as failure:
            return Tried(node, failure)

    def _do(self, step: Command[Any]) -> Any:
        request = step.request
        self.steps.append(request)
        if isinstance(request, Pause):
            self.now += request.seconds
            return None
        if isinstance(request, Forget):
            return None
        answer = self.answers.pop(0)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Failure):
            raise answer
        return answer

    @property
    def asked(self) -> list[str]:
        """The hosts that were asked, in order."""
        return [step.node.endpoint.host for step in self.steps if isinstance(step, Exchange)]


def silence(request: Exchange) -> Failure:
    return unavailable("no reply in time", request.node.name, lost=True)


def refusal(request: Exchange) -> Failure:
    return unavailable("cannot connect", request.node.name)


# -- what needs no flow --


def test_a_command_to_a_server_that_is_well_needs_no_flow() -> None:
    primary = node("a")
    routing = World(Servers(primary)).routing
    assert routing.direct(GET) is routing.direct(SET) is primary
    assert routing.request(GET) == pack(("GET", KEY))


@pytest.mark.parametrize("command", [READ, DURABLE])
def test_where_there_is_a_choice_the_flow_makes_it(command: Command[Any]) -> None:
    assert World(Servers(node("a"))).routing.direct(command) is None


def test_a_write_that_is_to_be_remembered_is_the_flows() -> None:
    world = World(Servers(node("a"), [node("b", "replica")]), replicas=True)
    assert world.routing.direct(SET) is None
    assert world.routing.direct(GET) is not None


def test_without_a_server_or_a_well_one_it_is_the_flows() -> None:
    servers = Servers(None)
    assert World(servers).routing.direct(GET) is None
    servers.primary = node("a")
    servers.primary.breaker.is_open = True
    assert World(servers).routing.direct(GET) is None


# -- one primary --


def test_a_command_and_its_reply() -> None:
    world = World(Servers(node("a")), b"v")
    assert world.carry(GET) == b"v"
    (step,) = world.steps
    assert step == Exchange(step.node, (pack(("GET", KEY)),), 1000.0 + 0.4 * TIMEOUT)


def test_until_something_is_known_it_waits() -> None:
    servers = Servers(None)

    def learn(request: Learn) -> None:
        servers.primary = node("a")

    world = World(servers, learn, b"v")
    assert world.carry(GET) == b"v"
    assert world.asked == ["a"]


def test_what_the_waiting_comes_to() -> None:
    world = World(Servers(None), Failure(StoreRefused("wrong password"), retry=False))
    with pytest.raises(StoreRefused, match="wrong password"):
        world.carry(GET)


def test_a_primary_that_changes_is_followed_within_the_request() -> None:
    servers = Servers(node("old"))

    def dead(request: Exchange) -> Failure:
        servers.primary = node("new")
        return refusal(request)

    world = World(servers, dead, b"OK")
    assert world.carry(SET) == b"OK"
    assert world.asked == ["old", "new"]
    assert [suspect.name for suspect in servers.suspects] == ["old:6379"]


def test_a_write_whose_reply_is_lost_is_not_sent_to_the_next_primary() -> None:
    servers = Servers(node("old"))
    world = World(servers, silence)
    with pytest.raises(OutcomeUnknown):
        world.carry(SET)
    assert servers.suspects


def test_a_demoted_primary_loses_its_connections() -> None:
    servers = Servers(node("a"))
    world = World(servers, ReplyError("READONLY You can't write"), b"OK")
    assert world.carry(SET) == b"OK"
    assert Forget(servers.nodes()[0]) in world.steps
    assert servers.suspects


def test_a_refusal_is_no_reason_to_suspect() -> None:
    servers = Servers(node("a"))
    world = World(servers, ReplyError("NOPERM no"))
    with pytest.raises(StoreRefused):
        world.carry(SET)
    assert servers.suspects == []


# -- the circuit breaker --


def test_a_dead_node_costs_no_step_at_all() -> None:
    servers = Servers(node("a"))
    world = World(servers, *[refusal] * 100)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            world.carry(GET)
    world.steps.clear()
    with pytest.raises(StoreUnavailable, match="not tried, because it does not answer"):
        world.carry(GET)
    assert world.steps == []


def test_its_probe_closes_it() -> None:
    servers = Servers(node("a"))
    world = World(servers, *[refusal] * 100)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            world.carry(GET)
    world.now += 1
    world.answers = [b"v", b"v"]
    assert world.carry(GET) == b"v"
    assert world.carry(GET) == b"v"


def test_a_request_under_way_goes_on_until_its_deadline() -> None:
    """What opens meanwhile is for those who come later."""
    servers = Servers(node("a"))
    world = World(servers, *[refusal] * 100)

    def back(request: Exchange) -> Any:
        assert request.node.breaker.is_open
        return b"v"

    with pytest.raises(StoreUnavailable):
        world.carry(GET)
    world.now += 1

    def fails_once_more(request: Exchange) -> Failure:
        return refusal(request)

    world.answers = [fails_once_more, back]
    assert world.carry(GET) == b"v"


def test_an_error_reply_is_a_sign_of_life() -> None:
    servers = Servers(node("a"))
    world = World(servers, *[ReplyError("LOADING Redis is loading")] * 1000)
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="LOADING"):
            world.carry(GET)
    assert not servers.nodes()[0].breaker.is_open


# -- redirects --


def test_moved_is_followed_at_once() -> None:
    servers = Servers(node("a"))
    servers.others["b", 6379] = node("b")
    world = World(servers, ReplyError("MOVED 866 b:6379"), b"OK")
    assert world.carry(SET) == b"OK"
    assert world.asked == ["a", "b"]
    assert not any(isinstance(step, Pause) for step in world.steps)


def test_ask_is_followed_once_and_says_asking() -> None:
    servers = Servers(node("a"))
    servers.others["b", 6379] = node("b")
    world = World(servers, ReplyError("ASK 866 b:6379"), [b"OK", b"v"])
    assert world.carry(GET) == b"v"
    assert world.steps[-1].packed == (pack(("ASKING",)), pack(("GET", KEY)))
    world.answers = [b"v"]
    assert world.carry(GET) == b"v"
    assert world.asked == ["a", "b", "a"]


def test_a_cluster_at_odds_with_itself() -> None:
    servers = Servers(node("a"))
    servers.others = {("a", 6379): node("a"), ("b", 6379): node("b")}
    circle = [ReplyError("MOVED 866 b:6379"), ReplyError("MOVED 866 a:6379")]
    world = World(servers, *circle * 100)

    with pytest.raises(StoreUnavailable, match="circles"):
        world.carry(GET)
    # It is tried again after a pause, until the deadline.
    assert len(world.asked) % (MAX_REDIRECTS + 1) == 0


def test_without_a_cluster_moved_is_an_error() -> None:
    world = World(Servers(node("a")), ReplyError("MOVED 866 b:6379"))
    with pytest.raises(StoreRefused, match="part of a Redis Cluster"):
        world.carry(GET)


# -- replicas --


def test_reads_go_to_a_replica_and_writes_do_not() -> None:
    servers = Servers(node("a"), [node("b", "replica"), node("c", "replica")])
    world = World(servers, b"v", b"OK", b"v", replicas=True)
    assert world.carry(READ) == (b"v", True)
    assert world.carry(Command(("SET", b"other", b"v"), key=b"other", write=True)) == b"OK"
    assert world.carry(GET) == b"v"
    assert world.asked == ["c", "a", "a"]


def test_what_was_written_here_is_read_from_the_primary() -> None:
    servers = Servers(node("a"), [node("b", "replica")])
    world = World(servers, b"OK", b"v", b"v", b"v", replicas=True)
    world.carry(SET)
    assert world.carry(READ) == (b"v", False)
    world.now += WINDOW - 0.01
    assert world.carry(READ) == (b"v", False)
    world.now += 0.01
    assert world.carry(READ) == (b"v", True)


def test_a_replica_that_fails_is_followed_by_the_primary() -> None:
    servers = Servers(node("a"), [node("b", "replica")])
    world = World(servers, silence, b"v", replicas=True)
    assert world.carry(READ) == (b"v", False)
    assert world.asked == ["b", "a"]


def test_a_dead_replica_is_not_asked() -> None:
    replica = node("b", "replica")
    for moment in (990.0, 991.0, 1000.0):
        replica.breaker.failed(moment, StoreUnavailable("x"))
    world = World(Servers(node("a"), [replica]), b"v", replicas=True)
    assert world.carry(READ) == (b"v", False)
    assert world.asked == ["a"]


def test_recent_writes_are_bounded() -> None:
    recent = RecentWrites(window=10, most=3)
    for number in range(5):
        recent.add(b"%d" % number, 100.0 + number)
    assert [recent.has(b"%d" % number, 105.0) for number in range(5)] == [False, False, *[True] * 3]
    recent.add(b"2", 106.0)
    recent.add(b"new", 107.0)
    assert recent.has(b"2", 107.0), "written again, so it is not the oldest"
    assert not recent.has(b"3", 107.0)
    assert not recent.has(b"4", 114.0), "its time is over"


# -- durability --

NO_WAITAOF = ReplyError("ERR unknown command 'WAITAOF'")


def waiting(step: Exchange, now: float) -> list[tuple[bytes, ...]]:
    """What is sent behind a write, without the times."""
    commands = [part.split(b"\r\n")[2::2] for part in step.parts(now)[len(step.packed) :]]
    return [tuple(command[:-1]) for command in commands]


def test_a_durable_write_waits_on_a_connection_of_its_own() -> None:
    world = World(Servers(node("a")), [b"OK", 1, NO_WAITAOF])
    assert world.carry(DURABLE) == b"OK"
    (step,) = world.steps
    assert step.packed == (pack(("SET", KEY, b"v")),)
    assert step.confirm is not None
    assert waiting(step, world.now) == [(b"WAIT", b"1"), (b"WAITAOF", b"1", b"0")]


@pytest.mark.parametrize("remaining", [4.0, 0.4, 0.2, 0.05])
@pytest.mark.parametrize("disk", [True, False])
def test_confirmations_come_in_time(remaining: float, disk: bool) -> None:
    """Also on a server that ends a WAIT a tenth of a second too late."""
    parts = Confirmation(wait=True, disk=disk).packed(remaining)
    times = [int(part.split(b"\r\n")[-2]) / 1000 for part in parts]
    assert all(each > 0 for each in times)
    assert sum(times) <= max(remaining - LATENESS, remaining / 2)
    assert sum(times) >= remaining / 2 - LATENESS


def test_the_time_counts_from_when_there_is_a_connection() -> None:
    world = World(Servers(node("a")), [b"OK", 1, NO_WAITAOF])
    world.carry(DURABLE)
    (step,) = world.steps
    early, late = (int(step.parts(now)[1].split(b"\r\n")[-2]) for now in (1000.0, 1000.3))
    assert late < early / 2


def test_what_a_server_does_not_have_it_is_asked_once() -> None:
    servers = Servers(node("a"))
    world = World(servers, [b"OK", 1, NO_WAITAOF], [b"OK", 1], [b"OK", 1])
    for _ in range(3):
        world.carry(DURABLE)
    assert [len(waiting(step, world.now)) for step in world.steps] == [2, 1, 1]


@pytest.mark.parametrize(
    ("waited", "why"),
    [
        ([0, [1, 0]], "no replica"),
        ([2, [0, 0]], "disk"),
        ([ReplyError("NOPERM no"), ReplyError("NOPERM no")], "does not let us WAIT"),
    ],
)
def test_a_shortfall(waited: list[Any], why: str) -> None:
    servers = Servers(node("a"))
    world = World(servers, [b"OK", *waited])
    with pytest.raises(NotReplicated, match=why) as caught:
        world.carry(DURABLE)
    assert caught.value.reply == b"OK"
    assert caught.value.node == "a:6379"
    assert servers.suspects == []


def test_enough_copies_on_disk() -> None:
    world = World(Servers(node("a")), [b"OK", 2, [1, 0]], [b"OK", 1, [1, 0]])
    assert world.carry(DURABLE) == b"OK"
    assert world.carry(DURABLE) == b"OK"


def test_a_disk_that_is_always_late_is_not_asked_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """appendfsync everysec: up to a second, which no request may wait."""
    world = World(Servers(node("a")), *[[b"OK", 1, [0, 0]]] * 3, [b"OK", 1])
    for _ in range(3):
        with pytest.raises(NotReplicated, match="disk"):
            world.carry(DURABLE)
    assert world.carry(DURABLE) == b"OK"
    assert "durable counts replicas alone" in caplog.text


def test_a_disk_that_is_late_now_and_then() -> None:
    late, good = [b"OK", 1, [0, 0]], [b"OK", 1, [1, 0]]
    world = World(Servers(node("a")), late, late, good, late, late, good)
    for _ in range(2):
        for _ in range(2):
            with pytest.raises(NotReplicated):
                world.carry(DURABLE)
        assert world.carry(DURABLE) == b"OK"


def test_while_no_replica_answers_only_a_probe_waits() -> None:
    short = [b"OK", 0, NO_WAITAOF]
    world = World(Servers(node("a")), *[short] * 4, [b"OK", 0], [b"OK", 0], [b"OK", 1], [b"OK", 1])

    def write() -> tuple[bytes, ...]:
        with suppress(NotReplicated):
            world.carry(DURABLE)
        return waiting(world.steps[-1], world.now)[0]

    for _ in range(4):
        assert write() == (b"WAIT", b"1")
        world.now += TIMEOUT / 3
    world.now -= TIMEOUT / 3
    assert write() == (b"WAIT", b"0"), "it is only looked whether one has it already"
    world.now += PROBE_SECONDS
    assert write() == (b"WAIT", b"1")
    assert write() == (b"WAIT", b"0")
    # By then a replica is back, which a look at once may see as well.
    assert write() == (b"WAIT", b"1")


def test_a_write_that_was_refused_needs_no_copies() -> None:
    world = World(Servers(node("a")), [ReplyError("OOM no memory"), 0, [1, 0]])
    with pytest.raises(Exception, match="OOM"):
        world.carry(DURABLE)


def test_a_connection_that_is_lost_while_waiting() -> None:
    """The write was answered, and its server is gone: nobody knows what the next one has."""
    world = World(Servers(node("a")), silence)
    with pytest.raises(OutcomeUnknown):
        world.carry(DURABLE)


def test_confirmations_that_come_too_late() -> None:
    """The write was answered, and its server is there: it is one short, and nothing worse."""

    def late(request: Exchange) -> Failure:
        failure = silence(request)
        failure.received = (b"OK",)
        return failure

    servers = Servers(node("a"))
    world = World(servers, late)
    with pytest.raises(NotReplicated, match="no replica has confirmed") as caught:
        world.carry(DURABLE)
    assert caught.value.reply == b"OK"
    assert servers.suspects == []


def test_durable_and_asking() -> None:
    servers = Servers(node("a"))
    servers.others["b", 6379] = node("b")
    asked = [ReplyError("ASK 866 b:6379"), 0, [0, 0]]
    world = World(servers, asked, [b"OK", b"OK", 1, [1, 0]])
    assert world.carry(DURABLE) == b"OK"
    assert world.steps[-1].packed == (pack(("ASKING",)), pack(("SET", KEY, b"v")))
    assert len(waiting(world.steps[-1], world.now)) == 2


def test_asking_that_is_not_allowed() -> None:
    servers = Servers(node("a"))
    servers.others["b", 6379] = node("b")
    refused = [ReplyError("NOPERM no"), ReplyError("MOVED 866 a:6379")]
    world = World(servers, ReplyError("ASK 866 b:6379"), refused)
    with pytest.raises(StoreRefused, match="NOPERM"):
        world.carry(GET)


def test_a_pinned_node_is_asked_whatever_the_key() -> None:
    world = World(Servers(node("a")), b"v")
    assert world.carry(GET, node("b")) == b"v"
    assert world.asked == ["b"]
