"""The sync transport: links in pools."""

from __future__ import annotations

import time
from typing import Any

from sessionstore.stores.redis.durability import Confirmation
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
        super().__init__(routing, Link, max_connections)

    def is_answer(self, reply: Any) -> bool:
        return type(reply) is not ReplyError

    def exchange(self, request: Exchange) -> Any:
        return self._on_a_link(request.node, request.packed, request.until, request.confirm)

    def ask(self, node: Node, request: bytes, until: float) -> Any:
        return self._on_a_link(node, (request,), until)

    def _on_a_link(
        self,
        node: Node,
        parts: tuple[bytes, ...],
        until: float,
        confirm: Confirmation | None = None,
    ) -> Any:
        pool = self.pool(node)
        link, generation = pool.take(until)
        try:
            if link.login is not None:
                link.stay_logged_in(until)
            if confirm is not None:
                parts += confirm.packed(until - time.monotonic())
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
