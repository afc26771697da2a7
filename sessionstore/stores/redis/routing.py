"""How one command gets to its server and back: which node, redirects, repetition, durability.

A flow over steps that the two transports carry out, so that sync and async decide alike. It does
no I/O; the clock and the random draws are passed in.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sessionstore.core.errors import NotReplicated, StoreUnavailable
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.attempts import Attempts, Failure, unavailable
from sessionstore.stores.redis.commands import Route
from sessionstore.stores.redis.durability import Confirmation, answered, shortfall, wanted
from sessionstore.stores.redis.endpoint import pack
from sessionstore.stores.redis.failures import ReplyError, from_reply, redirect_in
from sessionstore.stores.redis.recent import RecentWrites
from sessionstore.stores.redis.topology import Node, Topology
from sessionstore.stores.servers import routing as servers
from sessionstore.stores.servers.routing import Tried
from sessionstore.stores.servers.steps import Forget, Learn, Pause

MAX_REDIRECTS: Final = 5
"""Redis Cluster settles in one or two; more is a cluster at odds with itself."""

_ASKING: Final = pack(("ASKING",))


class Exchange(NamedTuple):
    """Send these commands at once on one connection. The result is the reply, or their list.

    A reply may be a ``ReplyError``. With ``confirm``, commands that make the server wait come after
    them, on a connection that nobody else uses meanwhile.
    """

    node: Node
    packed: tuple[bytes, ...]
    until: float
    confirm: Confirmation | None = None

    def parts(self, now: float) -> tuple[bytes, ...]:
        """All that is to be sent, once there is a connection."""
        if self.confirm is None:
            return self.packed
        return self.packed + self.confirm.packed(self.until - now)


class Routing(servers.Routing[Node, Topology]):
    """Carries commands over one topology.

    :param timeout: the store's, in seconds: an attempt gets a share of it
    :param recent: what was written a moment ago, where replicas are read from
    :param clock: as :func:`time.monotonic`
    :param draw: random numbers from 0 to 1
    """

    def __init__(
        self,
        topology: Topology,
        timeout: float,
        *,
        recent: RecentWrites | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(topology, timeout)
        self._recent = recent
        self._clock = clock
        self._draw = draw

    def direct(self, command: Command[Any]) -> Node | None:
        if command.route is not None or (command.write and self._recent is not None):
            return None
        try:
            node = self.topology.primary_for(command.key)
        except Failure:
            return None  # `carry` meets the same, and knows what to do about it
        return None if node is None or node.breaker.is_open else node

    def request(self, command: Command[Any]) -> bytes:
        return pack(command.request)

    def carry(
        self,
        command: Command[Any],
        deadline: float,
        pinned: Node | None = None,
        first: Tried | None = None,
    ) -> Flow[Any]:
        """See :meth:`sessionstore.stores.base.Store.execute`; yields the steps above.

        :param pinned: the node to ask, whatever the key
        :param first: the attempt that was made already
        """
        clock, route = self._clock, command.route
        attempts = Attempts(deadline, self.limit, write=command.write, node=self.topology.name)
        packed, target, hops = pack(command.request), pinned, 0
        asking, lagging = False, route is Route.REPLICA
        tried: Node | None = None
        if command.write and self._recent is not None:
            self._recent.add(command.key, clock())
        while True:
            if first is None:
                until = attempts.start(now := clock())
                how = (tried, asking, lagging)
                first = yield from self._attempt(command, packed, target, now, until, *how)
                if first is None:
                    continue
            (node, reply), first = first, None
            tried = node or tried
            try:
                if isinstance(reply, Failure):
                    raise reply
                node.breaker.succeeded()
                if type(reply) is not ReplyError:
                    return (reply, node.is_replica) if route is Route.REPLICA else reply
                redirect = redirect_in(reply)
                other = redirect and self.topology.redirected(redirect, node)
                if redirect is None or other is None:
                    raise from_reply(reply, node.name)
                target, asking, hops = other, redirect.asking, hops + 1
                if hops > MAX_REDIRECTS:
                    raise unavailable("the cluster sends us in circles", node.name, silent=False)
            except Failure as failure:
                target, hops, asking, lagging = pinned, 0, False, False
                now = clock()
                if node is not None and self._blame(node, failure, now):
                    yield Command(Forget(node))
                pause = attempts.failed(failure, now, self._draw())
                yield Command(Pause(pause))

    def _attempt(
        self,
        command: Command[Any],
        packed: bytes,
        node: Node | None,
        now: float,
        until: float,
        tried: Node | None,
        asking: bool,
        lagging: bool,
    ) -> Flow[Tried | None]:
        """One attempt. None: it is to be made now that something is known of the servers.

        :param node: the one to ask, whatever the key
        :param tried: the one that was asked before
        """
        try:
            if node is None:
                node = self._choose(command.key, now, lagging=lagging)
            if node is None:
                yield Command(Learn(until))
                return None
            if node is not tried:
                node.check(now)
            if command.route is Route.DURABLE or asking:
                route = command.route
                reply = yield from self._several(node, packed, route, until, asking=asking)
            else:
                reply = yield Command(Exchange(node, (packed,), until))
        except Failure as failure:
            return Tried(node, failure)
        return Tried(node, reply)

    def _choose(self, key: bytes, now: float, *, lagging: bool) -> Node | None:
        if lagging and not (self._recent is not None and self._recent.has(key, now)):
            replicas = self.topology.replicas_for(key)
            begin = int(self._draw() * len(replicas))
            for replica in (*replicas[begin:], *replicas[:begin]):
                if replica.breaker.admits(now):
                    return replica
        return self.topology.primary_for(key)

    def _blame(self, node: Node, failure: Failure, now: float) -> bool:
        """Note a failure; whether the connections to the node are of no use any more."""
        if not isinstance(failure.error, StoreUnavailable):
            return False
        if failure.silent:
            node.breaker.failed(now, failure.error)
        self.topology.suspect(node)
        return failure.demoted

    def _several(
        self, node: Node, packed: bytes, route: object, until: float, *, asking: bool
    ) -> Flow[Any]:
        """With what has to go before and behind it on the same connection."""
        before = (_ASKING, packed) if asking else (packed,)
        main, durable = len(before) - 1, route is Route.DURABLE
        confirm = wanted(node, self._clock()) if durable else None
        try:
            replies = yield Command(Exchange(node, before, until, confirm))
        except Failure as failure:
            replies = answered(failure, main) if durable else None
            if replies is None:
                raise
        reply = replies[main]
        if asking and type(reply) is ReplyError and type(replies[0]) is ReplyError:
            return replies[0]  # what follows is only the consequence
        if durable and type(reply) is not ReplyError:
            why = shortfall(node, replies[main + 1 :], self._clock())
            if why:
                node.breaker.succeeded()
                raise NotReplicated(why, reply, node=node.name)
        return reply
