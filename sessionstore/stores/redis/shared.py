"""The asyncio transport: one connection for each node and event loop, shared by all tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import Any, Final

from sessionstore.core.flow import Command, arun
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.lifetime import PerLoop
from sessionstore.stores.redis.failures import ReplyError, spoils
from sessionstore.stores.redis.line import Line
from sessionstore.stores.redis.routing import Exchange, Forget, Learn, Pause, Routing
from sessionstore.stores.redis.topology import Node, Topology, replaced

EXCLUSIVE: Final = 32
"""Connections of one loop to one node for commands that make the server wait (``durable``)."""

LOOK_SECONDS: Final = 0.01
"""How often to look, at first, whether somebody has said where the servers are."""

NOW: Final = 0.0
"""A deadline that has passed: do not wait."""


class Lines:
    """One event loop's lines to all nodes."""

    def __init__(self, topology: Topology, limit: float) -> None:
        self._topology = topology
        self._limit = limit
        self.loop = asyncio.get_running_loop()
        self._shared: dict[Node, Line] = {}
        self._exclusive: dict[Node, list[Line]] = {}
        self._lent: set[tuple[Node, Line]] = set()
        self._dropped: set[Line] = set()
        self._places: dict[Node, asyncio.Semaphore] = {}
        self._learning: asyncio.Task[None] | None = None
        self._closed = False

    def shared(self, node: Node) -> Line:
        """The line that everybody uses.

        :raises Failure: another node has taken its place since it was chosen
        """
        line = self._shared.get(node)
        if line is None:
            line = self._shared[node] = self._new(node)
        return line

    def _new(self, node: Node) -> Line:
        if node not in self._topology.nodes():
            raise replaced(node)  # nobody would prune the line
        return Line(node.endpoint, self._limit)

    def retire(self, node: Node) -> None:
        """Use another connection from now on."""
        if node in self._shared:
            self._shared[node].retire()

    @asynccontextmanager
    async def exclusive(self, node: Node, until: float) -> AsyncGenerator[Line, None]:
        """A line of one's own.

        :raises Failure: until then none was free; or as :meth:`shared`
        """
        places = self._places.setdefault(node, asyncio.Semaphore(EXCLUSIVE))
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await places.acquire()
        except TimeoutError:
            text = f"all {EXCLUSIVE} connections for durable writes are in use"
            raise unavailable(text, node.name, silent=False) from None
        try:
            idle = self._exclusive.setdefault(node, [])
            line = idle.pop() if idle else self._new(node)
            self._lent.add((node, line))
            well = False
            try:
                yield line
                well = not self._closed and self._exclusive.get(node) is idle
            finally:
                self._lent.discard((node, line))
                # Not well: pruned; or failed, or cancelled, and the server is perhaps still
                # waiting, and would keep the next one waiting.
                if well:
                    idle.append(line)
                else:
                    self._drop(line)
        finally:
            places.release()

    async def learn(self, until: float) -> None:
        """Wait until the topology is known.

        Not in a thread of the default executor: those may be busy with whatever the app does.

        :raises Failure: until then it was not
        """
        if self._learning is None or self._learning.done():
            self._learning = self.loop.create_task(
                self._until_known(until), name="sessionstore-learn", context=Context()
            )
        # One task looks for all; and none of them can cancel it.
        await asyncio.wait({self._learning}, timeout=max(until - time.monotonic(), 0))
        self._topology.wait(NOW)

    async def _until_known(self, until: float) -> None:
        while time.monotonic() < until:
            try:
                self._topology.wait(NOW)
            except Failure as failure:
                if failure.retry:
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
            return

    def prune(self) -> None:
        """Let go at once of nodes that are not part of the topology any more: nothing may be
        heard from them."""
        nodes = set(self._topology.nodes())
        for node in self._shared.keys() - nodes:
            self._drop(self._shared.pop(node))
        for node in self._exclusive.keys() - nodes:
            for line in self._exclusive.pop(node):
                self._drop(line)
        for node in self._places.keys() - nodes:
            del self._places[node]
        for node, line in self._lent:
            if node not in nodes:
                self._drop(line)

    def _drop(self, line: Line) -> None:
        line.drop()
        self._dropped = {each for each in (*self._dropped, line) if not each.is_gone()}

    async def aclose(self) -> None:
        """Close everything, in this loop, for good."""
        self._closed = True
        if self._learning is not None:
            self._learning.cancel()
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
        lent = (line for _, line in self._lent)
        return [*self._shared.values(), *idle, *lent, *self._dropped]


class SharedTransport:
    """Carries commands for tasks."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._lines = PerLoop(lambda: Lines(routing.topology, routing.limit))
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
            return self._lines.get().retire(request.node)
        assert type(request) is Learn  # noqa: S101 (there are no others)
        return await self._lines.get().learn(request.until)

    async def _exchange(self, request: Exchange) -> Any:
        node, until = request.node, request.until
        # Each time, because the ones before may have been closed meanwhile.
        lines = self._lines.get()
        if request.confirm is not None:
            async with lines.exclusive(node, until) as line:
                return _retired_if_spoilt(line, await line.exchange(request.parts, until))
        line = lines.shared(node)
        return _retired_if_spoilt(line, await line.exchange(request.parts, until))

    def _prune(self) -> None:
        for lines in self._lines.everywhere():
            with suppress(RuntimeError):  # that loop has been closed
                lines.loop.call_soon_threadsafe(lines.prune)

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
