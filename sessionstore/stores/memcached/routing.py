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
from sessionstore.stores.attempts import Attempts, Failure
from sessionstore.stores.memcached.failures import from_reply
from sessionstore.stores.memcached.membership import Membership
from sessionstore.stores.memcached.messages import ERRORS, Request
from sessionstore.stores.memcached.topology import Node, Topology
from sessionstore.stores.servers import routing as servers
from sessionstore.stores.servers.routing import Tried
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


class Routing(servers.Routing[Node, Topology]):
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
        super().__init__(topology, timeout)
        self.membership = membership
        self._clock = clock
        self._draw = draw

    def direct(self, command: Command[Any]) -> Node | None:
        route, membership = command.route, self.membership
        if type(command.request) is Look or (
            membership is not None and not membership.is_current()
        ):
            return None
        try:
            node = route if isinstance(route, Node) else self.topology.node_for(command.key)
            if node is None or node.breaker.is_open:
                return None
            if membership is not None:
                membership.check(node)
        except Failure:
            return None  # `carry` meets the same, and knows what to do about it
        return node

    def request(self, command: Command[Any]) -> Any:
        return command.request

    def carry(
        self,
        command: Command[Any],
        deadline: float,
        pinned: Node | None = None,
        first: Tried | None = None,
    ) -> Flow[Any]:
        """See :meth:`sessionstore.stores.base.Store.execute`; yields the steps.

        :param pinned: the node to ask, whatever the key, and even if it is left out;
            ``command.route`` is asked only while it is not
        :param first: the attempt that was made already
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
            if first is None:
                until = attempts.start(now := clock())
                first = yield from self._attempt(command, pinned, now, until, tried, membership)
                if first is None:
                    continue
            (node, reply), first = first, None
            tried = node or tried
            try:
                if isinstance(reply, Failure):
                    raise reply
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

    def _attempt(
        self,
        command: Command[Any],
        node: Node | None,
        now: float,
        until: float,
        tried: Node | None,
        membership: Membership | None,
    ) -> Flow[Tried | None]:
        """One attempt. None: it is to be made now that something is known of the servers.

        :param node: the one to ask, whatever the key
        :param tried: the one that was asked before
        """
        try:
            if node is None:
                node = self.topology.node_for(command.key)
            if node is None:
                yield Command(Learn(until))
                return None
            if membership is not None:
                if not membership.is_current():
                    yield Command(Learn(until))
                membership.check(node)
            if node is not tried:
                node.check(now)
            return Tried(node, (yield Command(Exchange(node, command.request, until))))
        except Failure as failure:
            return Tried(node, failure)

    def _look(self, command: Command[Any], deadline: float) -> Flow[Any]:
        membership = self.membership
        assert membership is not None  # noqa: S101 (or nobody would ask)
        if membership.is_current():
            with suppress(Failure):  # told below, once there is no time left for it to change
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
