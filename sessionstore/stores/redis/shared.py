"""The asyncio transport: redis-py's connections, driven by lines."""

from __future__ import annotations

from typing import Any

from sessionstore.stores.redis.line import RedisLine
from sessionstore.stores.redis.routing import Exchange, Routing
from sessionstore.stores.servers.lines import Lines, LinesPerLoop


class SharedTransport(LinesPerLoop[RedisLine]):
    """Carries commands for tasks."""

    def __init__(self, routing: Routing) -> None:
        limit = routing.limit
        super().__init__(routing, lambda endpoint: RedisLine(endpoint, limit))

    async def exchange(self, lines: Lines[RedisLine], request: Exchange) -> Any:
        node, until = request.node, request.until
        if request.confirm is not None:
            async with lines.exclusive(node, until) as line:
                return await line.exchange(request.parts, until)
        return await lines.shared(node).exchange(request.parts, until)
