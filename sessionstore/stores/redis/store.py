"""``RedisStore``: the verbs, carried by the two transports."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from sessionstore.core.errors import ConfigurationError, StoreRefused
from sessionstore.core.flow import Command, Flow
from sessionstore.core.token import HANDLE_BYTES, handle_text
from sessionstore.stores.base import (
    DEFAULT_PREFIX,
    DEFAULT_TIMEOUT,
    Conflict,
    Deleted,
    Entry,
    Exists,
    Missing,
    Store,
    Version,
)
from sessionstore.stores.facts import Link, RedisFacts
from sessionstore.stores.location import Location
from sessionstore.stores.redis import commands
from sessionstore.stores.redis.blocking import BlockingTransport
from sessionstore.stores.redis.endpoint import Endpoint, endpoint_from
from sessionstore.stores.redis.examination import examine
from sessionstore.stores.redis.shared import SharedTransport

DEFAULT_MAX_CONNECTIONS = 64
PROBE = bytes(600)
"""What stands for a session where there is none to measure: a login and some small attributes.
Its format byte is one that no record has."""


class RedisStore(Store):
    """Sessions in one Redis or Valkey server.

    :param max_connections: the most that sync code may have open at once; asyncio code uses one
        connection per event loop
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = DEFAULT_TIMEOUT,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
    ) -> None:
        super().__init__(prefix=prefix, timeout=timeout)
        if max_connections < 1:
            raise ConfigurationError(f"max_connections={max_connections!r}: give 1 or more")
        self._endpoint = endpoint
        self._blocking = BlockingTransport(endpoint, timeout, max_connections)
        self._shared = SharedTransport(endpoint, timeout)

    def __repr__(self) -> str:
        return f"<RedisStore {self._endpoint.node} db={self._endpoint.db} prefix={self.prefix!r}>"

    def load(self, key: bytes) -> Flow[Entry | None]:
        return commands.load(key)

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        return commands.create(key, value, ttl)

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        return commands.replace(key, value, ttl, version)

    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        return commands.delete(key, version)

    def server(self) -> Flow[str]:
        """The server's name and version."""
        return commands.server()

    def execute(self, command: Command[Any], deadline: float) -> Any:
        return self._blocking.execute(command, deadline)

    async def aexecute(self, command: Command[Any], deadline: float) -> Any:
        return await self._shared.execute(command, deadline)

    def keys(self) -> Iterator[bytes]:
        """Every session key, by SCAN: the user needs that permission besides."""
        cursor: bytes | None = None
        while cursor != b"0":
            request = ("SCAN", cursor or b"0", "MATCH", self._key_prefix + b"*", "COUNT", 500)
            reply = self.execute(Command(request), time.monotonic() + self.timeout)
            if not (isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], list)):
                raise StoreRefused("unexpected reply to SCAN", node=self._endpoint.node)
            cursor, keys = reply
            yield from keys

    def examine(self) -> Flow[RedisFacts]:
        """How the server is set up, as far as the user may look."""
        probe = self.key(handle_text(os.urandom(HANDLE_BYTES)))
        return examine(self.prefix, self._key_prefix + b"*", (probe, PROBE), _link(self._endpoint))

    @property
    def connections(self) -> int:
        """How many connections sync code has open, idle and in use."""
        return self._blocking.pool.open

    def close(self) -> None:
        self._blocking.close()
        self._shared.sweep()

    async def aclose(self) -> None:
        await self._shared.aclose()
        self.close()


def from_location(location: Location, options: dict[str, Any]) -> RedisStore:
    """``redis://``, ``rediss://``, ``redis+unix://``."""
    return RedisStore(endpoint_from(location, options), **options)


def _link(endpoint: Endpoint) -> Link:
    if endpoint.path:
        return Link("unix")
    return Link("tcp" if endpoint.ssl_context is None else "tls", endpoint.host)
