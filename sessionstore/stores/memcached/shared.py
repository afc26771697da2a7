"""The asyncio transport: one connection for each server and event loop, shared by all tasks."""

from __future__ import annotations

from typing import Any

from sessionstore.core.flow import Command
from sessionstore.stores.memcached.failures import is_broken
from sessionstore.stores.memcached.line import MemcachedLine
from sessionstore.stores.memcached.messages import Reply
from sessionstore.stores.memcached.routing import Exchange, Routing
from sessionstore.stores.servers.lines import Lines, LinesPerLoop


class SharedTransport(LinesPerLoop[MemcachedLine]):
    """Carries commands for tasks."""

    def __init__(self, routing: Routing) -> None:
        limit = routing.limit
        super().__init__(routing.topology, lambda endpoint: MemcachedLine(endpoint, limit))
        self._routing = routing

    async def execute(self, command: Command[Any], deadline: float) -> Reply:
        """See :meth:`sessionstore.stores.base.Store.aexecute`."""
        reply: Reply = await self.carry(self._routing.carry(command, deadline))
        return reply

    async def exchange(self, lines: Lines[MemcachedLine], request: Exchange) -> Reply:
        line = lines.shared(request.node)
        reply = await line.exchange(request.request, request.until)
        if is_broken(reply):
            line.retire()
        return reply
