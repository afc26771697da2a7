"""The sync transport: links in pools."""

from __future__ import annotations

import time
from typing import Any

from sessionstore.core.flow import Command
from sessionstore.stores.redis.failures import ReplyError, spoils
from sessionstore.stores.redis.link import Link
from sessionstore.stores.redis.login import wants_login
from sessionstore.stores.redis.routing import Exchange, Routing
from sessionstore.stores.redis.topology import Node
from sessionstore.stores.servers.pools import Pools


class BlockingTransport(Pools[Link]):
    """Carries commands for threads.

    :param max_connections: of each pool
    """

    def __init__(self, routing: Routing, max_connections: int) -> None:
        super().__init__(routing.topology, Link, max_connections)
        self._routing = routing

    def execute(self, command: Command[Any], deadline: float, node: Node | None = None) -> Any:
        """See :meth:`sessionstore.stores.base.Store.execute`.

        :param node: the one to ask, whatever the key
        """
        return self.carry(self._routing.carry(command, deadline, node))

    def exchange(self, request: Exchange) -> Any:
        until = request.until
        pool = self.pool(request.node)
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


def _is_spoilt(reply: Any) -> bool:
    if type(reply) is list:
        return any(type(each) is ReplyError and spoils(each) for each in reply)
    return type(reply) is ReplyError and spoils(reply)
