"""One asyncio connection to Memcached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from math import inf

from sessionstore.stores.attempts import refused
from sessionstore.stores.memcached.conversation import Conversation, check_size
from sessionstore.stores.memcached.messages import ERRORS, Malformed, Reply, Request
from sessionstore.stores.servers.channel import Channel


class MemcachedChannel(Channel):
    """A connection, which the caller greets."""

    def __init__(self, conversation: Conversation, node: str) -> None:
        super().__init__(node)
        self._conversation = conversation
        self.heard = False
        """Whether the server has ever said a word."""
        self.item_size: float = inf
        """Bytes. Until the server has said it, only greetings are sent."""

    def send(self, part: Request, until: float) -> asyncio.Future[Reply]:
        if part.value:
            check_size(part, self.item_size)
        return self._send(self._conversation.ask(part, time.time()), until)

    def is_answer(self, reply: Reply) -> bool:
        return reply.outcome not in ERRORS

    def replies(self, data: bytes) -> Iterator[Reply]:
        self.heard = True
        try:
            yield from self._conversation.hear(data)
        except Malformed as error:
            raise refused(str(error), self._node, lost=True) from None
