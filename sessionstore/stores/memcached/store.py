"""``MemcachedStore``: the verbs, carried by the two transports."""

from __future__ import annotations

import os
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, Protocol

from sessionstore.core.errors import ConfigurationError
from sessionstore.core.expiry import MAX_LIFETIME
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
    Version,
)
from sessionstore.stores.facts import Link, MemcachedFacts
from sessionstore.stores.location import Location
from sessionstore.stores.memcached import commands, copies, everywhere, spread
from sessionstore.stores.memcached.blocking import BlockingTransport
from sessionstore.stores.memcached.configuring import topology_from
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.examination import examine
from sessionstore.stores.memcached.membership import Membership
from sessionstore.stores.memcached.places import Places
from sessionstore.stores.memcached.routing import Look, Routing
from sessionstore.stores.memcached.shared import SharedTransport
from sessionstore.stores.memcached.topology import Node, Topology
from sessionstore.stores.memcached.vigil import Watched

DEFAULT_MAX_CONNECTIONS: Final = 64
PROBE: Final = bytes(600)
"""What stands for a session where there is none to measure: a login and some small attributes.
Its format byte is one that no record has."""


Failover = Literal["error", "next"]
FAILOVER: Final = ("error", "next")
DEFAULT_FAILOVER_AFTER: Final = 3.0
"""Seconds. A server that was only slow, or cut off for less, keeps its sessions."""


class _Verbs(Protocol):
    """Where the keys are is known to these."""

    def load(self, key: bytes) -> Flow[Entry | None]: ...
    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]: ...
    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]: ...
    def delete(self, key: bytes, version: Version | None) -> Flow[Deleted | Conflict | Missing]: ...


class MemcachedStore(Store):
    """Sessions in Memcached servers.

    :param topology: which there are
    :param max_connections: the most that sync code may have open at once to each server; asyncio
        code uses one connection per event loop and server
    :param failover: what becomes of a lost server's share: ``"error"``: its requests get
        ``StoreUnavailable`` until it is back; ``"next"``: it goes to the next server
    :param copies: 2: each session is on two servers, so that a lost one logs nobody out; this
        implies ``failover="next"``
    :param failover_after: seconds of silence after which a server is lost
    :param keep_out: seconds for which a lost server that comes back with what it had is kept out;
        not less than the longest session lives
    """

    def __init__(
        self,
        topology: Topology,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = DEFAULT_TIMEOUT,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        failover: Failover | None = None,
        copies: int = 1,
        failover_after: float = DEFAULT_FAILOVER_AFTER,
        keep_out: float = MAX_LIFETIME,
    ) -> None:
        super().__init__(prefix=prefix, timeout=timeout)
        if max_connections < 1:
            raise ConfigurationError(f"max_connections={max_connections!r}: give 1 or more")
        for name, seconds in (("failover_after", failover_after), ("keep_out", keep_out)):
            if not 0 < seconds <= MAX_LIFETIME:  # NaN neither
                raise ConfigurationError(f"{name}={seconds!r}: give seconds, more than 0")
        self._verbs = _verbs(failover, copies, timeout)
        self._membership: Membership | None = None
        if self._verbs is not commands:
            if len(topology.nodes()) == 1:
                raise ConfigurationError("failover='next': one server has no next; name several")
            self._membership = Membership(topology, silence=failover_after, keep_out=keep_out)
            topology = Watched(self._membership, f"{prefix}:servers".encode(), keep_out)
        self._topology = topology
        routing = Routing(topology, timeout, membership=self._membership)
        self._blocking = BlockingTransport(routing, max_connections)
        self._shared = SharedTransport(routing)

    def __repr__(self) -> str:
        topology = self._topology
        return f"<MemcachedStore {topology.name} {topology.protocol} prefix={self.prefix!r}>"

    def load(self, key: bytes) -> Flow[Entry | None]:
        return self._verbs.load(key)

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        return self._verbs.create(key, value, ttl)

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        return self._verbs.replace(key, value, ttl, version)

    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        if self._topology.changes:
            return everywhere.delete(key, version, self._topology)
        return self._verbs.delete(key, version)

    def server(self) -> Flow[str]:
        """The servers' names and versions; each of them that is not left out is asked."""
        names: dict[str, None] = {}
        if self._membership is None:
            yield from commands.server()  # whichever: after this, it is known which there are
            nodes: Sequence[Node] = self._topology.nodes()
        else:
            places: Places = yield from Command(Look.PLACES)
            nodes = places.all
        for node in nodes:
            names[(yield from commands.server(node))] = None
        return ", ".join(names)

    def execute(self, command: Command[Any], deadline: float) -> Any:
        return self._blocking.execute(command, deadline)

    def aexecute(self, command: Command[Any], deadline: float) -> Coroutine[Any, Any, Any]:
        return self._shared.execute(command, deadline)

    def health(self) -> tuple[NodeHealth, ...]:
        nodes = tuple(map(self._health, self._topology.nodes()))
        return nodes + self._topology.watched(time.monotonic())

    def _health(self, node: Node) -> NodeHealth:
        health, membership = node.health(time.monotonic()), self._membership
        trouble = None if membership is None else membership.trouble(node)
        if membership is None or trouble is None:
            return health
        kept_out = membership.is_kept_out(node)
        return replace(health, available=False, error=trouble, kept_out=kept_out)

    def servers(self) -> Mapping[str, Examinable]:
        """Those that hold sessions."""
        return {node.name: _OneServer(self, self._blocking, node) for node in self._nodes()}

    def _nodes(self) -> Sequence[Node]:
        try:
            self._topology.wait(time.monotonic() + self.timeout)
        except Failure as failure:
            raise failure.error from None
        return self._topology.nodes()

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


def _verbs(failover: Failover | None, count: int, timeout: float) -> _Verbs:
    if failover not in {None, *FAILOVER}:
        raise ConfigurationError(f"failover={failover!r}: one of {', '.join(FAILOVER)}")
    if count not in {1, 2}:
        raise ConfigurationError(f"copies={count!r}: 1 or 2")
    if count == 2:
        if failover == "error":
            raise ConfigurationError("copies=2 is failover=next with nothing lost: leave out error")
        if timeout > copies.LONGEST_TIMEOUT:
            raise ConfigurationError(f"copies=2: timeout= must not exceed {copies.LONGEST_TIMEOUT}")
        return copies
    return spread if failover == "next" else commands


class _OneServer:
    """One of a store's servers, to be examined."""

    def __init__(self, store: MemcachedStore, blocking: BlockingTransport, node: Node) -> None:
        self.timeout = store.timeout
        self._key = store.key(handle_text(os.urandom(HANDLE_BYTES)))
        self._blocking = blocking
        self._node = node

    def examine(self) -> Flow[MemcachedFacts]:
        """How the server is set up, as far as it tells."""
        endpoint = self._node.endpoint
        logged_in = endpoint.credentials is not None
        return examine(self._key, PROBE, _link(endpoint), logged_in=logged_in)

    def execute(self, command: Command[Any], deadline: float) -> Any:
        return self._blocking.execute(command, deadline, self._node)


def from_location(location: Location, options: dict[str, Any]) -> MemcachedStore:
    """``memcached://``, ``memcached+discover://``, both with TLS, and ``memcached+unix://``."""
    topology = topology_from(location, options, options.get("timeout", DEFAULT_TIMEOUT))
    return MemcachedStore(topology, **options)


def _link(endpoint: Endpoint) -> Link:
    if endpoint.path:
        return Link("unix")
    return Link("tcp" if endpoint.ssl_context is None else "tls", endpoint.host)
