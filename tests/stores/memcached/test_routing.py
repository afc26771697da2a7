"""Which server a request goes to, by scripted answers: no server, no clock."""

from __future__ import annotations

from typing import Any

import pytest

from sessionstore.core.errors import OutcomeUnknown, StoreRefused
from sessionstore.core.flow import Command, run
from sessionstore.stores.attempts import unavailable
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.messages import Outcome, Reply, Request, Verb
from sessionstore.stores.memcached.routing import Exchange, Look, Pause, Routing
from sessionstore.stores.memcached.topology import Fixed, Node
from sessionstore.stores.servers.routing import Tried

TIMEOUT = 1.0
KEY = b"session:s:h"
GET = Command(Request(Verb.GET, KEY), key=KEY)
SET = Command(Request(Verb.SET, KEY, b"v", 60), key=KEY, write=True)
HIT = Reply(Outcome.OK, b"v", 1, 1)


@pytest.fixture
def node() -> Node:
    return Node(Endpoint("a"), TIMEOUT)


@pytest.fixture
def routing(node: Node) -> Routing:
    return Routing(Fixed([node]), TIMEOUT, clock=lambda: 1000.0, draw=lambda: 0.5)


def carry(routing: Routing, command: Command[Any], first: Tried, *answers: Reply) -> list[Any]:
    """The steps after the first attempt, and the reply."""
    left = list(answers)
    steps: list[Any] = []

    def do(step: Command[Any]) -> Any:
        steps.append(step.request)
        return left.pop(0) if isinstance(step.request, Exchange) else None

    reply = run(routing.carry(command, 1000.0 + TIMEOUT, first=first), do)
    return [*steps, reply]


def test_a_command_to_a_server_that_is_well_needs_no_flow(routing: Routing, node: Node) -> None:
    assert routing.direct(GET) is routing.direct(SET) is node
    assert routing.request(GET) is GET.request
    node.breaker.is_open = True
    assert routing.direct(GET) is None
    assert routing.direct(Command(Look.PLACES, key=KEY)) is None


def test_it_goes_to_the_server_that_it_names(routing: Routing) -> None:
    other = Node(Endpoint("b"), TIMEOUT)
    assert routing.direct(Command(GET.request, key=KEY, route=other)) is other


def test_a_read_without_a_reply_is_done_again(routing: Routing, node: Node) -> None:
    lost = unavailable("no reply in time", node.name, lost=True)
    pause, exchange, reply = carry(routing, GET, Tried(node, lost), HIT)
    assert isinstance(pause, Pause)
    assert exchange == Exchange(node, GET.request, 1000.0 + 0.4 * TIMEOUT)
    assert reply is HIT


def test_a_write_without_a_reply_is_not(routing: Routing, node: Node) -> None:
    lost = unavailable("no reply in time", node.name, lost=True)
    with pytest.raises(OutcomeUnknown):
        carry(routing, SET, Tried(node, lost))


def test_an_error_is_what_it_means(routing: Routing, node: Node) -> None:
    with pytest.raises(StoreRefused, match="does not know the command"):
        carry(routing, GET, Tried(node, Reply(Outcome.UNKNOWN)))
