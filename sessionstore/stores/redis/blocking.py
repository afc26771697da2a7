"""The sync transport: a pool of connections for each node."""

from __future__ import annotations

import threading
import time
from typing import Any

from sessionstore.core.flow import Command, run
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.redis.failures import ReplyError, spoils
from sessionstore.stores.redis.login import wants_login
from sessionstore.stores.redis.pool import Pool
from sessionstore.stores.redis.routing import Exchange, Forget, Learn, Pause, Routing
from sessionstore.stores.redis.topology import Node, replaced


class BlockingTransport:
    """Carries commands for threads.

    :param max_connections: of each pool
    """

    def __init__(self, routing: Routing, max_connections: int) -> None:
        self._routing = routing
        self._size = max_connections
        self._pools: dict[Node, Pool] = {}
        self._lock = threading.Lock()
        routing.topology.on_change(self._prune)
        forget_after_fork(self)

    def execute(self, command: Command[Any], deadline: float, node: Node | None = None) -> Any:
        """See :meth:`sessionstore.stores.base.Store.execute`.

        :param node: the one to ask, whatever the key
        """
        return run(self._routing.carry(command, deadline, node), self._do)

    def _do(self, step: Command[Any]) -> Any:
        request = step.request
        if type(request) is Exchange:
            return self._exchange(request)
        if type(request) is Pause:
            return time.sleep(request.seconds)
        if type(request) is Forget:
            return self._forget(request.node)
        assert type(request) is Learn  # noqa: S101 (there are no others)
        return self._routing.topology.wait(request.until)

    def _exchange(self, request: Exchange) -> Any:
        node, until = request.node, request.until
        pool = self._pools.get(node) or self._pool(node)
        link, generation = pool.take(until)
        try:
            link.stay_logged_in(until)
            parts = request.parts(time.monotonic())
            packed, count = (parts[0], 1) if len(parts) == 1 else (b"".join(parts), len(parts))
            reply = link.exchange(packed, until, count)
            # What was answered so was not executed: it may be sent again, a write as well.
            if wants_login(reply) and link.log_in_again(until):
                reply = link.exchange(packed, until, count)
        except BaseException:
            pool.drop(link, generation)
            raise
        if _is_spoilt(reply):
            pool.drop(link, generation)
        else:
            pool.give(link, generation)
        return reply

    def _pool(self, node: Node) -> Pool:
        with self._lock:
            pool = self._pools.get(node)
            if pool is None:
                if node not in self._routing.topology.nodes():
                    raise replaced(node)  # since it was chosen; and nobody would prune the pool
                pool = self._pools[node] = Pool(node.endpoint, self._size)
        return pool

    def _forget(self, node: Node) -> None:
        pool = self._pools.get(node)
        if pool is not None:
            pool.close()

    def _prune(self) -> None:
        """Let go of nodes that are not part of the topology any more, such as a frozen primary:
        should it wake, nothing may be heard from it."""
        nodes = self._routing.topology.nodes()
        with self._lock:
            gone = [self._pools.pop(node) for node in self._pools.keys() - set(nodes)]
        for pool in gone:
            pool.abort()

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """How many connections there are, idle and in use."""
        return sum(pool.open for pool in list(self._pools.values()))

    def close(self) -> None:
        """Close all connections; the transport may be used again."""
        for pool in list(self._pools.values()):
            pool.close()


def _is_spoilt(reply: Any) -> bool:
    if type(reply) is list:
        return any(type(each) is ReplyError and spoils(each) for each in reply)
    return type(reply) is ReplyError and spoils(reply)
