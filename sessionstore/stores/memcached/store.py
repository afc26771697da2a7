"""``MemcachedStore``: the verbs, carried by the two transports."""

from __future__ import annotations

import os
from typing import Any, Final

from sessionstore.core.errors import ConfigurationError
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
from sessionstore.stores.facts import Link, MemcachedFacts
from sessionstore.stores.location import Location
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.blocking import BlockingTransport
from sessionstore.stores.memcached.endpoint import Endpoint, endpoint_from
from sessionstore.stores.memcached.examination import examine
from sessionstore.stores.memcached.shared import SharedTransport

DEFAULT_MAX_CONNECTIONS: Final = 64
PROBE: Final = bytes(600)
"""What stands for a session where there is none to measure: a login and some small attributes.
Its format byte is one that no record has."""


class MemcachedStore(Store):
    """Sessions in one Memcached server.

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
        endpoint = self._endpoint
        return f"<MemcachedStore {endpoint.node} {endpoint.protocol} prefix={self.prefix!r}>"

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

    def examine(self) -> Flow[MemcachedFacts]:
        """How the server is set up, as far as it tells."""
        key = self.key(handle_text(os.urandom(HANDLE_BYTES)))
        endpoint = self._endpoint
        return examine(key, PROBE, _link(endpoint), logged_in=endpoint.credentials is not None)

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


def from_location(location: Location, options: dict[str, Any]) -> MemcachedStore:
    """``memcached://``, ``memcacheds://``, ``memcached+unix://``."""
    return MemcachedStore(endpoint_from(location, options), **options)


def _link(endpoint: Endpoint) -> Link:
    if endpoint.path:
        return Link("unix")
    return Link("tcp" if endpoint.ssl_context is None else "tls", endpoint.host)
