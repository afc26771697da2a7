"""One asyncio connection to Memcached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from sessionstore.stores.attempts import refused
from sessionstore.stores.memcached.conversation import Conversation
from sessionstore.stores.memcached.messages import Malformed, Reply, Request
from sessionstore.stores.servers.channel import Channel


class MemcachedChannel(Channel):
    """A connection, which the caller greets."""

    def __init__(self, conversation: Conversation, node: str) -> None:
        super().__init__(node)
        self._conversation = conversation
        self.heard = False
        """Whether the server has ever said a word."""
        self.item_size = 0

    def send(self, part: Request) -> asyncio.Future[Reply]:
        return self._send(self._conversation.ask(part, time.time()))

    def replies(self, data: bytes) -> Iterator[Reply]:
        self.heard = True
        try:
            yield from self._conversation.hear(data)
        except Malformed as error:
            raise refused(str(error), self._node, lost=True) from None
