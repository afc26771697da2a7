"""The asyncio transport: one connection for each node and event loop, shared by all tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from sessionstore.core.flow import Command, arun
from sessionstore.stores.attempts import unavailable
from sessionstore.stores.lifetime import PerLoop
from sessionstore.stores.redis.failures import ReplyError, spoils
from sessionstore.stores.redis.line import Line
from sessionstore.stores.redis.routing import Exchange, Forget, Learn, Pause, Routing
from sessionstore.stores.redis.topology import Node

EXCLUSIVE: Final = 16
"""Connections of one loop to one node for commands that make the server wait (``durable``)."""


class Lines:
    """One event loop's lines to all nodes."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.loop = asyncio.get_running_loop()
        self._shared: dict[Node, Line] = {}
        self._exclusive: dict[Node, list[Line]] = {}
        self._lent: set[tuple[Node, Line]] = set()
        self._places: dict[Node, asyncio.Semaphore] = {}

    def shared(self, node: Node) -> Line:
        """The line that everybody uses."""
        line = self._shared.get(node)
        if line is None:
            line = self._shared[node] = Line(node.endpoint, self._limit)
        return line

    @asynccontextmanager
    async def exclusive(self, node: Node, until: float) -> AsyncGenerator[Line, None]:
        """A line of one's own.

        :raises Failure: until then none was free
        """
        places = self._places.setdefault(node, asyncio.Semaphore(EXCLUSIVE))
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await places.acquire()
        except TimeoutError:
            text = f"all {EXCLUSIVE} connections for durable writes are in use"
            raise unavailable(text, node.name, silent=False) from None
        idle = self._exclusive.setdefault(node, [])
        line = idle.pop() if idle else Line(node.endpoint, self._limit)
        self._lent.add((node, line))
        done = False
        try:
            yield line
            done = True
        finally:
            self._lent.discard((node, line))
            places.release()
            # Not done: cancelled, perhaps. The server is still waiting, and would keep the next
            # one waiting. Not ours: the node, or all of this, was let go of meanwhile.
            if done and self._exclusive.get(node) is idle:
                idle.append(line)
            else:
                line.drop()

    def prune(self, nodes: set[Node]) -> None:
        """Let go of every other node at once: nothing may be heard from it any more."""
        for node in self._shared.keys() - nodes:
            self._shared.pop(node).drop()
        for node in self._exclusive.keys() - nodes:
            for line in self._exclusive.pop(node):
                line.drop()
        for node, line in self._lent:
            if node not in nodes:
                line.drop()

    async def aclose(self) -> None:
        """Close everything, in this loop, for good."""
        lines = self._all()
        self._exclusive.clear()
        for line in lines:
            await line.aclose()

    def abandon(self) -> None:
        """See :class:`sessionstore.stores.lifetime.LoopBound`."""
        for line in self._all():
            line.abandon()

    def _all(self) -> list[Line]:
        idle = [line for lines in self._exclusive.values() for line in lines]
        return [*self._shared.values(), *idle, *(line for _, line in self._lent)]


class SharedTransport:
    """Carries commands for tasks."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._lines = PerLoop(lambda: Lines(routing.limit))
        routing.topology.on_change(self._prune)

    async def execute(
        self, command: Command[Any], deadline: float, node: Node | None = None
    ) -> Any:
        """See :meth:`sessionstore.stores.base.Store.aexecute`."""
        return await arun(self._routing.carry(command, deadline, node), self._do)

    async def _do(self, step: Command[Any]) -> Any:
        request = step.request
        if type(request) is Exchange:
            return await self._exchange(request)
        if type(request) is Pause:
            return await asyncio.sleep(request.seconds)
        if type(request) is Forget:
            return self._lines.get().shared(request.node).retire()
        assert type(request) is Learn  # noqa: S101 (there are no others)
        return await asyncio.to_thread(self._routing.topology.wait, request.until)

    async def _exchange(self, request: Exchange) -> Any:
        node, packed, until, exclusive = request
        # Each time, because the ones before may have been closed meanwhile.
        lines = self._lines.get()
        if exclusive:
            async with lines.exclusive(node, until) as line:
                return _retired_if_spoilt(line, await line.exchange(packed, until))
        line = lines.shared(node)
        return _retired_if_spoilt(line, await line.exchange(packed, until))

    def _prune(self) -> None:
        nodes = set(self._routing.topology.nodes())
        for lines in self._lines.everywhere():
            with suppress(RuntimeError):  # that loop has been closed
                lines.loop.call_soon_threadsafe(lines.prune, nodes)

    async def aclose(self) -> None:
        """Close the running loop's connections; the transport may be used again."""
        await self._lines.aclose()

    def sweep(self) -> None:
        """Release the sockets of loops that are closed."""
        self._lines.sweep()


def _retired_if_spoilt(line: Line, reply: Any) -> Any:
    for each in reply if type(reply) is list else (reply,):
        if type(each) is ReplyError and spoils(each):
            line.retire()
    return reply
