"""How one command gets to its server and back: which server, and when it is repeated.

A flow over steps that the two transports carry out, so that sync and async decide alike. It does
no I/O; the clock and the random draws are passed in.
"""

from __future__ import annotations

import enum
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from sessionstore.core.errors import StoreUnavailable
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.attempts import ATTEMPT_SHARE, Attempts, Failure
from sessionstore.stores.memcached.failures import from_reply
from sessionstore.stores.memcached.membership import Membership
from sessionstore.stores.memcached.messages import ERRORS, Reply, Request
from sessionstore.stores.memcached.topology import Node, Topology
from sessionstore.stores.servers.steps import Learn, Pause


class Look(enum.Enum):
    """A command that goes to no server: which are a key's?"""

    PLACES = enum.auto()
    """See :meth:`.membership.Membership.places`."""


class Exchange(NamedTuple):
    """Send this request. The result is its reply, which may be an error."""

    node: Node
    request: Request
    until: float


class Routing:
    """Carries commands over one topology.

    :param timeout: the store's, in seconds: an attempt gets a share of it
    :param membership: who is left out, where a lost server's share goes to the next one
    :param clock: as :func:`time.monotonic`
    :param draw: random numbers from 0 to 1
    """

    def __init__(
        self,
        topology: Topology,
        timeout: float,
        *,
        membership: Membership | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.topology = topology
        self.membership = membership
        self.limit = timeout * ATTEMPT_SHARE
        self._clock = clock
        self._draw = draw

    def carry(
        self, command: Command[Any], deadline: float, pinned: Node | None = None
    ) -> Flow[Any]:
        """See :meth:`sessionstore.stores.base.Store.execute`; yields the steps.

        :param pinned: the node to ask, whatever the key, and even if it is left out;
            ``command.route`` is asked only while it is not
        """
        if isinstance(command.request, Look):
            return (yield from self._look(command, deadline))
        clock = self._clock
        attempts = Attempts(deadline, self.limit, write=command.write, node=self.topology.name)
        tried: Node | None = None
        membership = self.membership if pinned is None else None
        if isinstance(command.route, Node):
            pinned = command.route
        while True:
            until = attempts.start(now := clock())
            node = pinned
            try:
                if node is None:
                    node = self.topology.node_for(command.key)
                if node is None:
                    yield Command(Learn(until))
                    continue
                if membership is not None:
                    if not membership.is_current():
                        yield Command(Learn(until))
                    membership.check(node)
                if node is not tried:
                    node.check(now)
                    tried = node
                reply: Reply = yield Command(Exchange(node, command.request, until))
                node.breaker.succeeded()
                if reply.outcome not in ERRORS:
                    return reply
                raise from_reply(reply, node.name)
            except Failure as failure:
                now = clock()
                if node is not None and failure.silent and _is_outage(failure):
                    node.breaker.failed(now, failure.error)
                    self.topology.suspect(node)
                if pinned is not None and pinned not in self.topology.nodes():
                    failure.retry = False  # it has left, and nobody can stand in for it
                yield Command(Pause(attempts.failed(failure, now, self._draw())))

    def _look(self, command: Command[Any], deadline: float) -> Flow[Any]:
        membership = self.membership
        assert membership is not None  # noqa: S101 (or nobody would ask)
        if membership.is_current():
            with suppress(Failure):
                return membership.places(command.key)
        attempts = Attempts(deadline, self.limit, write=False, node=self.topology.name)
        while True:
            until = attempts.start(self._clock())
            try:
                if not membership.is_current():
                    yield Command(Learn(until))
                return membership.places(command.key)
            except Failure as failure:
                yield Command(Pause(attempts.failed(failure, self._clock(), self._draw())))


def _is_outage(failure: Failure) -> bool:
    return isinstance(failure.error, StoreUnavailable)
