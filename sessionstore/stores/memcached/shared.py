"""The asyncio transport: one connection for each server and event loop, shared by all tasks."""

from __future__ import annotations

from sessionstore.stores.memcached.line import MemcachedLine
from sessionstore.stores.memcached.messages import Reply
from sessionstore.stores.memcached.routing import Exchange, Routing
from sessionstore.stores.servers.lines import Lines, LinesPerLoop


class SharedTransport(LinesPerLoop[MemcachedLine]):
    """Carries commands for tasks."""

    def __init__(self, routing: Routing) -> None:
        limit = routing.limit
        super().__init__(routing, lambda endpoint: MemcachedLine(endpoint, limit))

    async def exchange(self, lines: Lines[MemcachedLine], request: Exchange) -> Reply:
        return await lines.shared(request.node).exchange(request.request, request.until)
