"""The sync transport: a pool of connections for each server."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from sessionstore.core.flow import Command, Flow, run
from sessionstore.stores.attempts import Failure
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.pool import Pool, Poolable
from sessionstore.stores.servers.routing import Routing, Tried
from sessionstore.stores.servers.steps import Forget, Learn, Pause
from sessionstore.stores.servers.topology import Server, replaced

K = TypeVar("K", bound=Poolable)


class Pools(ABC, Generic[K]):
    """Carries commands for threads.

    :param connect: opens a connection to a server's endpoint by a deadline, or raises ``Failure``;
        no method of the transport, or a store that nobody closes would not be collected at once
    :param size: the most connections of each pool
    """

    def __init__(
        self, routing: Routing[Any, Any], connect: Callable[[Any, float], K], size: int
    ) -> None:
        self._routing = routing
        self._topology = topology = routing.topology
        self._connect = connect
        self._size = size
        self._pools: dict[Server, Pool[K]] = {}
        self._lock = threading.Lock()
        topology.on_change(self._prune)
        forget_after_fork(self)

    @abstractmethod
    def ask(self, node: Any, request: Any, until: float) -> Any:
        """Send one command's :meth:`.routing.Routing.request` and wait for the reply, which may be
        an error.

        :raises Failure: it could not be sent, or no reply came
        """

    @abstractmethod
    def is_answer(self, reply: Any) -> bool:
        """Whether it is what was asked for, and not an error."""

    @abstractmethod
    def exchange(self, request: Any) -> Any:
        """Carry out a step that is none of those in ``steps.py``: send something."""

    def execute(self, command: Command[Any], deadline: float, node: Any = None) -> Any:
        """See :meth:`sessionstore.stores.base.Store.execute`.

        :param node: the one to ask, whatever the key
        """
        routing, now = self._routing, time.monotonic()
        server = routing.direct(command) if node is None else None
        if server is None or now >= deadline:
            return self._carry(routing.carry(command, deadline, node))
        try:
            reply = self.ask(server, routing.request(command), min(deadline, now + routing.limit))
        except Failure as failure:
            first = Tried(server, failure)
        else:
            if self.is_answer(reply):
                server.breaker.succeeded()
                return reply
            first = Tried(server, reply)
        return self._carry(routing.carry(command, deadline, first=first))

    def _carry(self, flow: Flow[Any]) -> Any:
        return run(flow, self._do)

    def _do(self, step: Command[Any]) -> Any:
        request = step.request
        kind = type(request)
        if kind is Pause:
            return time.sleep(request.seconds)
        if kind is Forget:
            return self._forget(request.node)
        if kind is Learn:
            return self._topology.wait(request.until)
        return self.exchange(request)

    def pool(self, node: Server) -> Pool[K]:
        """The pool of one server.

        :raises Failure: another server has taken its place since it was chosen
        """
        return self._pools.get(node) or self._new_pool(node)

    def _new_pool(self, node: Server) -> Pool[K]:
        with self._lock:
            pool = self._pools.get(node)
            if pool is None:
                if node not in self._topology.nodes():
                    raise replaced(node)  # nobody would prune the pool
                pool = Pool(partial(self._connect, node.endpoint), self._size, node.name)
                self._pools[node] = pool
        return pool

    def _forget(self, node: Server) -> None:
        pool = self._pools.get(node)
        if pool is not None:
            pool.close()

    def _prune(self) -> None:
        """Let go of servers that are not part of the topology any more, such as a frozen primary:
        should it wake, nothing may be heard from it."""
        nodes = self._topology.nodes()
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
