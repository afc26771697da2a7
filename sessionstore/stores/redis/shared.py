"""The asyncio transport: redis-py's connections, driven by lines."""

from __future__ import annotations

from typing import Any

from sessionstore.core.flow import Command
from sessionstore.stores.redis.failures import ReplyError, spoils
from sessionstore.stores.redis.line import RedisLine
from sessionstore.stores.redis.routing import Exchange, Routing
from sessionstore.stores.redis.topology import Node
from sessionstore.stores.servers.lines import Lines, LinesPerLoop


class SharedTransport(LinesPerLoop[RedisLine]):
    """Carries commands for tasks."""

    def __init__(self, routing: Routing) -> None:
        limit = routing.limit
        super().__init__(routing.topology, lambda endpoint: RedisLine(endpoint, limit))
        self._routing = routing

    async def execute(
        self, command: Command[Any], deadline: float, node: Node | None = None
    ) -> Any:
        """See :meth:`sessionstore.stores.base.Store.aexecute`."""
        return await self.carry(self._routing.carry(command, deadline, node))

    async def exchange(self, lines: Lines[RedisLine], request: Exchange) -> Any:
        node, until = request.node, request.until
        if request.confirm is not None:
            async with lines.exclusive(node, until) as line:
                return _retired_if_spoilt(line, await line.exchange(request.parts, until))
        line = lines.shared(node)
        return _retired_if_spoilt(line, await line.exchange(request.parts, until))


def _retired_if_spoilt(line: RedisLine, reply: Any) -> Any:
    for each in reply if type(reply) is list else (reply,):
        if type(each) is ReplyError and spoils(each):
            line.retire()
    return reply
