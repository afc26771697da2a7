"""``RedisStore``: the verbs, carried by the two transports."""

from __future__ import annotations

import os
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from sessionstore.core.errors import ConfigurationError, StoreRefused
from sessionstore.core.flow import Command, Flow
from sessionstore.core.token import HANDLE_BYTES, handle_text
from sessionstore.stores.attempts import Failure
from sessionstore.stores.base import (
    DEFAULT_PREFIX,
    DEFAULT_TIMEOUT,
    Conflict,
    Deleted,
    Entry,
    Examinable,
    Exists,
    Missing,
    NodeHealth,
    Store,
    Verbs,
    Version,
)
from sessionstore.stores.facts import Link, RedisFacts
from sessionstore.stores.location import Location
from sessionstore.stores.redis import commands
from sessionstore.stores.redis.blocking import BlockingTransport
from sessionstore.stores.redis.commands import Route
from sessionstore.stores.redis.configuring import topology_from
from sessionstore.stores.redis.examination import examine
from sessionstore.stores.redis.recent import RecentWrites
from sessionstore.stores.redis.routing import Routing
from sessionstore.stores.redis.shared import SharedTransport
from sessionstore.stores.redis.topology import Node, Topology

DEFAULT_MAX_CONNECTIONS = 64
PROBE = bytes(600)
"""What stands for a session where there is none to measure: a login and some small attributes.
Its format byte is one that no record has."""

Durable = Literal["0", "1", "all"]
DURABLE: Final = ("0", "1", "all")


class RedisStore(Store):
    """Sessions in Redis or Valkey.

    :param topology: one server, or those that sentinels or a cluster name
    :param max_connections: the most that sync code may have open at once to each server; asyncio
        code uses one connection per event loop and server
    :param durable: which writes wait until a replica has them: ``"1"``: logins, logouts and
        revocations; ``"all"``: every one
    :param read_from_replicas: whether a session may be loaded from a replica
    """

    def __init__(
        self,
        topology: Topology,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = DEFAULT_TIMEOUT,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        durable: Durable = "0",
        read_from_replicas: bool = False,
    ) -> None:
        super().__init__(prefix=prefix, timeout=timeout)
        if max_connections < 1:
            raise ConfigurationError(f"max_connections={max_connections!r}: give 1 or more")
        if durable not in DURABLE:
            raise ConfigurationError(f"durable={durable!r}: one of {', '.join(DURABLE)}")
        self._topology = topology
        self._reads_from_replicas = read_from_replicas
        self._writes: Route | None = Route.DURABLE if durable == "all" else None
        self._durable = durable
        recent = RecentWrites() if read_from_replicas else None
        self._routing = Routing(topology, timeout, recent=recent)
        self._blocking = BlockingTransport(self._routing, max_connections)
        self._shared = SharedTransport(self._routing)

    def __repr__(self) -> str:
        return f"<RedisStore {self._topology.name} prefix={self.prefix!r}>"

    # -- the verbs --

    @property
    def critical(self) -> Verbs:
        return _Durable(self) if self._durable == "1" else self

    def load(self, key: bytes) -> Flow[Entry | None]:
        return (commands.load_from_replica if self._reads_from_replicas else commands.load)(key)

    def reload(self, key: bytes) -> Flow[Entry | None]:
        return commands.load(key)

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        return commands.create(key, value, ttl, self._writes)

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        return commands.replace(key, value, ttl, version, self._writes)

    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        return commands.delete(key, version, self._writes)

    def server(self) -> Flow[str]:
        """The server's name and version."""
        return commands.server()

    # -- the transport --

    def execute(self, command: Command[Any], deadline: float) -> Any:
        return self._blocking.execute(command, deadline)

    def aexecute(self, command: Command[Any], deadline: float) -> Coroutine[Any, Any, Any]:
        return self._shared.execute(command, deadline)

    def health(self) -> tuple[NodeHealth, ...]:
        now = time.monotonic()
        nodes = tuple(node.health(now) for node in self._topology.nodes())
        return nodes + self._topology.watched(now)

    def keys(self) -> Iterator[bytes]:
        """Every session key, by SCAN: the user needs that permission besides."""
        for node in self._primaries():
            yield from self._keys_of(node)

    def _primaries(self) -> Sequence[Node]:
        try:
            if not self._topology.primaries():
                self._topology.wait(time.monotonic() + self.timeout)
            return self._topology.primaries()
        except Failure as failure:
            raise failure.error from None

    def _keys_of(self, node: Node) -> Iterator[bytes]:
        cursor: bytes | None = None
        while cursor != b"0":
            request = ("SCAN", cursor or b"0", "MATCH", self._key_prefix + b"*", "COUNT", 500)
            deadline = time.monotonic() + self.timeout
            reply = self._blocking.execute(Command(request), deadline, node)
            if not (isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], list)):
                raise StoreRefused("unexpected reply to SCAN", node=node.name)
            cursor, keys = reply
            yield from keys

    def servers(self) -> Mapping[str, Examinable]:
        """Those that hold sessions: one, or a cluster's primaries."""
        return {node.name: _OneServer(self, self._blocking, node) for node in self._primaries()}

    def examine(self) -> Flow[RedisFacts]:
        """How the server is set up (of a cluster: the one asked), as far as the user may look."""
        probe = self.key(handle_text(os.urandom(HANDLE_BYTES)))
        facts = yield from examine(self.prefix, self._key_prefix + b"*", (probe, PROBE))
        return replace(facts, link=_link(self._topology.primaries()[0]))

    @property
    def connections(self) -> int:
        """How many connections sync code has open, idle and in use."""
        return self._blocking.open

    def close(self) -> None:
        self._blocking.close()
        self._shared.sweep()
        self._topology.close()

    async def aclose(self) -> None:
        await self._shared.aclose()
        self.close()


class _Durable:
    """The verbs of a store, every write to be confirmed by a replica."""

    def __init__(self, store: RedisStore) -> None:
        self.key = store.key
        self.load = store.load
        self.reload = store.reload

    @property
    def critical(self) -> _Durable:
        return self

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        return commands.create(key, value, ttl, Route.DURABLE)

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        return commands.replace(key, value, ttl, version, Route.DURABLE)

    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        return commands.delete(key, version, Route.DURABLE)


def from_location(location: Location, options: dict[str, Any]) -> RedisStore:
    """``redis://``, ``rediss://``, ``redis+unix://``, ``redis+sentinel://``, ``redis+cluster://``
    and so on."""
    timeout = options.get("timeout", DEFAULT_TIMEOUT)
    reads = options.get("read_from") == "replica"
    topology = topology_from(location, options, timeout)
    return RedisStore(topology, read_from_replicas=reads, **options)


class _OneServer:
    """One of a store's servers, to be examined."""

    def __init__(self, store: RedisStore, blocking: BlockingTransport, node: Node) -> None:
        self.timeout = store.timeout
        self._store = store
        self._blocking = blocking
        self._node = node

    def examine(self) -> Flow[RedisFacts]:
        facts = yield from self._store.examine()
        return replace(facts, link=_link(self._node))

    def execute(self, command: Command[Any], deadline: float) -> Any:
        return self._blocking.execute(command, deadline, self._node)


def _link(node: Node) -> Link:
    endpoint = node.endpoint
    if endpoint.path:
        return Link("unix")
    return Link("tcp" if endpoint.ssl_context is None else "tls", endpoint.host)
