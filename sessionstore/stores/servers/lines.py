"""The asyncio transport: one connection for each server and event loop, shared by all tasks."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import Any, Final, Generic, TypeVar

from sessionstore.core.flow import Command, Flow, arun
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.lifetime import PerLoop
from sessionstore.stores.servers.line import Line
from sessionstore.stores.servers.routing import Routing, Tried
from sessionstore.stores.servers.steps import Forget, Learn, Pause
from sessionstore.stores.servers.topology import Server, Topology, replaced

L = TypeVar("L", bound=Line[Any])

EXCLUSIVE: Final = 32
"""Connections of one loop to one server for commands that make the server wait (``durable``)."""

LOOK_SECONDS: Final = 0.01
"""How often to look, at first, whether somebody has said where the servers are."""

NOW: Final = 0.0
"""A deadline that has passed: do not wait."""


class Lines(Generic[L]):
    """One event loop's lines to all servers.

    :param make: a line to a server's endpoint
    """

    def __init__(self, topology: Topology, make: Callable[[Any], L]) -> None:
        self._topology = topology
        self._make = make
        self.loop = asyncio.get_running_loop()
        self._shared: dict[Server, L] = {}
        self._exclusive: dict[Server, list[L]] = {}
        self._lent: set[tuple[Server, L]] = set()
        self._dropped: set[L] = set()
        self._places: dict[Server, asyncio.Semaphore] = {}
        self._learning: asyncio.Task[None] | None = None
        self._closed = False

    def shared(self, node: Server) -> L:
        """The line that everybody uses.

        :raises Failure: another node has taken its place since it was chosen
        """
        line = self._shared.get(node)
        if line is None:
            line = self._shared[node] = self._new(node)
        return line

    def _new(self, node: Server) -> L:
        if node not in self._topology.nodes():
            raise replaced(node)  # nobody would prune the line
        return self._make(node.endpoint)

    def known(self, node: Server) -> L | None:
        """:meth:`shared`, if there is one already."""
        return self._shared.get(node)

    def retire(self, node: Server) -> None:
        """Use another connection from now on."""
        if node in self._shared:
            self._shared[node].retire()

    @asynccontextmanager
    async def exclusive(self, node: Server, until: float) -> AsyncGenerator[L, None]:
        """A line of one's own.

        :raises Failure: until then none was free; or as :meth:`shared`
        """
        places = self._places.setdefault(node, asyncio.Semaphore(EXCLUSIVE))
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await places.acquire()
        except TimeoutError:
            text = f"all {EXCLUSIVE} exclusive connections are in use"
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

    def _drop(self, line: L) -> None:
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

    def _all(self) -> list[L]:
        idle = [line for lines in self._exclusive.values() for line in lines]
        lent = (line for _, line in self._lent)
        return [*self._shared.values(), *idle, *lent, *self._dropped]


class LinesPerLoop(ABC, Generic[L]):
    """Carries commands for tasks.

    :param make: a line to a server's endpoint, for the running loop; no method of the transport, or
        a store that nobody closes would not be collected at once
    """

    def __init__(self, routing: Routing[Any, Any], make: Callable[[Any], L]) -> None:
        self._routing = routing
        topology = routing.topology
        self._lines = PerLoop(lambda: Lines(topology, make))
        topology.on_change(self._prune)

    @abstractmethod
    async def exchange(self, lines: Lines[L], request: Any) -> Any:
        """Carry out a step that is none of those in ``steps.py``: send something."""

    async def execute(self, command: Command[Any], deadline: float, node: Any = None) -> Any:
        """See :meth:`sessionstore.stores.base.Store.aexecute`.

        :param node: the one to ask, whatever the key
        """
        routing, now = self._routing, time.monotonic()
        server = routing.direct(command) if node is None and now < deadline else None
        line = None if server is None else self._lines.get().known(server)
        channel = None if line is None else line.free()
        if server is None or line is None or channel is None:
            return await self._carry(routing.carry(command, deadline, node))
        request, until = routing.request(command), min(deadline, now + routing.limit)
        try:
            reply = await channel.send(request, until)
            if channel.is_answer(reply):
                server.breaker.succeeded()
                return reply
            first = Tried(server, await line.settle(channel, (request,), reply, until))
        except Failure as failure:
            first = Tried(server, failure)
        except asyncio.CancelledError:
            channel.left()
            raise
        return await self._carry(routing.carry(command, deadline, first=first))

    async def _carry(self, flow: Flow[Any]) -> Any:
        return await arun(flow, self._do)

    async def _do(self, step: Command[Any]) -> Any:
        request = step.request
        kind = type(request)
        if kind is Pause:
            return await asyncio.sleep(request.seconds)
        # Each time, because the ones before may have been closed meanwhile.
        lines = self._lines.get()
        if kind is Forget:
            return lines.retire(request.node)
        if kind is Learn:
            return await lines.learn(request.until)
        return await self.exchange(lines, request)

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
