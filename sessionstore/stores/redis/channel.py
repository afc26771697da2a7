"""One asyncio connection to Redis.

redis-py connects and logs in; then :class:`RedisChannel` takes over the transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from redis.asyncio.connection import AbstractConnection

from sessionstore.stores.attempts import Failure
from sessionstore.stores.credentials import Credential, Login
from sessionstore.stores.dialing import connecting_failed
from sessionstore.stores.redis.endpoint import NOTHING_YET, Endpoint, make_reader, take_reply
from sessionstore.stores.redis.failures import ReplyError
from sessionstore.stores.servers.channel import Channel

# Untyped, because redis-py's annotations change from release to release.
_Base: Any = AbstractConnection


class Handshake(_Base):  # type: ignore[misc]
    """redis-py's connection: AUTH and SELECT, on a stream that we opened and take back."""

    host = ""
    port = 0

    def __init__(self, endpoint: Endpoint, credential: Credential | None) -> None:
        self.host, self.port = endpoint.host, endpoint.port
        self._endpoint = endpoint
        self.failure: Failure | None = None
        self._writer: Any = None
        super().__init__(**endpoint.connection_options(credential))

    async def _connect(self) -> None:
        endpoint = self._endpoint
        try:
            if endpoint.path:
                streams = await asyncio.open_unix_connection(endpoint.path)
            else:
                streams = await asyncio.open_connection(
                    endpoint.host, endpoint.port, ssl=endpoint.ssl_context
                )
        except OSError as error:
            # redis-py would turn it into an error of its own.
            self.failure = connecting_failed(error, endpoint.node)
            raise
        self._reader: Any = streams[0]
        self._writer = streams[1]

    def take_writer(self) -> asyncio.StreamWriter:
        """The logged-in stream; redis-py forgets it."""
        writer: asyncio.StreamWriter = self._writer
        self._reader = self._writer = None
        return writer

    def drop(self) -> None:
        """Close at once, without waiting for anything."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._reader = self._writer = None

    async def disconnect(self, *_: Any, **__: Any) -> None:
        """redis-py does this when the log-in is refused: at once, too. Over TLS its own waits for
        the server to say farewell, which a loop that ends meanwhile never hears."""
        self.drop()

    def _host_error(self) -> str:
        return self._endpoint.node

    def repr_pieces(self) -> list[tuple[str, str]]:
        return [("node", self._endpoint.node)]


class RedisChannel(Channel):
    """A connection that is logged in.

    :param login: what it is logged in with
    """

    def __init__(self, writer: asyncio.StreamWriter, node: str, login: Login | None = None) -> None:
        super().__init__(node)
        # Kept, because a StreamWriter that is collected closes its transport.
        self._writer = writer
        self.login = login
        self._reader = make_reader()
        self.connection_made(writer.transport)
        writer.transport.set_protocol(self)

    def send(self, part: bytes, until: float) -> asyncio.Future[Any]:
        return self._send(part, until)

    def is_answer(self, reply: Any) -> bool:
        return type(reply) is not ReplyError

    def replies(self, data: bytes) -> Iterator[Any]:
        reader = self._reader
        reader.feed(data)
        while (reply := take_reply(reader, self._node)) is not NOTHING_YET:
            yield reply
