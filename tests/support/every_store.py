"""Every store, for tests that hold of all of them: the model, and the histories of many clients.

A new store is covered by another function in ``STORES``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from redis.crc import key_slot

from sessionstore.core.flow import Flow, run
from sessionstore.core.verbs import REVISION
from sessionstore.stores.base import Store
from sessionstore.stores.redis.cluster import SLOTS
from sessionstore.stores.url import open_store
from tests.support.memcached_servers import MemcachedRing, MemcachedServer
from tests.support.redis_topologies import RedisCluster, SentinelGroup
from tests.support.servers import PostgresServer, RedisServer

PATIENCE: Final = 20.0
"""Seconds. An attempt gets two fifths of it: a busy machine is no fault of the store."""


@dataclass(frozen=True)
class AnyStore:
    """A server, or what stands for one, and how to open a store on it.

    :param url: without options that the test may give
    :param upstreams: each server's Unix socket or address, for a proxy in front of it
    :param through: the URL of those proxies' ``host:port``
    :param shards: among how many servers keys are shared out by Redis Cluster's slots, evenly
    """

    name: str
    url: str
    prefix: str
    upstreams: tuple[Path | tuple[str, int], ...] = ()
    through: Callable[[Sequence[str]], str] | None = None
    shards: int = 1

    @property
    def is_shared(self) -> bool:
        """Whether another process that opens it sees the same sessions."""
        return self.name != "memory"

    @contextmanager
    def opened(
        self, url: str | None = None, *, warm: bool = True, **options: Any
    ) -> Iterator[Store]:
        """A store, closed afterwards.

        :param url: another one to the same server, through a proxy
        :param warm: whether each server has met every verb before, so that its table is there and
            its scripts are known
        """
        options = {"prefix": self.prefix, "timeout": PATIENCE, **options}
        store = open_store(url or self.url, **options)
        try:
            if warm:
                for key in _one_on_each(store, self.shards):
                    run(
                        _every_verb(store, key),
                        lambda command: store.execute(command, time.monotonic() + PATIENCE),
                    )
            yield store
        finally:
            store.close()


def _one_on_each(store: Store, shards: int) -> Iterable[bytes]:
    """A key for each shard: what one server has met, another has not."""
    found: dict[int, bytes] = {}
    for number in itertools.count():
        key = store.key(f"warm-{number}")
        found.setdefault(key_slot(key) * shards // SLOTS, key)
        if len(found) == shards:
            break
    return found.values()


def _every_verb(store: Store, key: bytes) -> Flow[None]:
    value = b"\x01" + bytes(12)
    yield from store.delete(key)
    yield from store.create(key, value, 60)
    yield from store.replace(key, value, 60, value[REVISION])
    yield from store.delete(key, value[REVISION])


def _memory(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    return AnyStore("memory", "memory://", prefix)


def _sqlite(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    directory = request.getfixturevalue("tmp_path")
    return AnyStore("sqlite", f"sqlite:///{directory}/sessions.db", prefix)


def _postgresql(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    server: PostgresServer = request.getfixturevalue("postgres_server")
    # A table for each test keeps purges apart.
    url = f"{server.url}?table={prefix.replace('-', '_')}"
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    host = f"{parts.hostname}:{parts.port}"
    return AnyStore(
        "postgresql",
        url,
        prefix,
        ((parts.hostname, parts.port),),
        lambda proxies: url.replace(host, proxies[0]),
    )


def _redis(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    return _redis_or_valkey("redis", request.getfixturevalue("redis_server"), prefix)


def _valkey(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    return _redis_or_valkey("valkey", request.getfixturevalue("valkey_server"), prefix)


def _redis_or_valkey(name: str, server: RedisServer, prefix: str) -> AnyStore:
    return AnyStore(
        name, server.url, prefix, (server.socket,), lambda proxies: f"redis://{proxies[0]}"
    )


def _sentinel(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    group: SentinelGroup = request.getfixturevalue("sentinel_group")
    return AnyStore("sentinel", f"{group.url}?durable=all", prefix)


def _cluster(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    cluster: RedisCluster = request.getfixturevalue("redis_cluster")
    return AnyStore("cluster", cluster.url, prefix, shards=3)


def _memcached(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    server: MemcachedServer = request.getfixturevalue("memcached_server")
    return AnyStore("memcached", server.url, prefix, (server.address,), _several)


def _memcached_ring(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    ring: MemcachedRing = request.getfixturevalue("memcached_ring")
    addresses = tuple(server.address for server in ring.servers)
    return AnyStore("memcached-ring", ring.url, prefix, addresses, _several)


def _memcached_copies(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    ring = _memcached_ring(request, prefix)
    return AnyStore(
        "memcached-copies",
        f"{ring.url}?copies=2",
        prefix,
        ring.upstreams,
        lambda proxies: f"{_several(proxies)}?copies=2",
    )


def _several(proxies: Sequence[str]) -> str:
    return f"memcached://{','.join(proxies)}"


STORES: Final[dict[str, Callable[[pytest.FixtureRequest, str], AnyStore]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "redis": _redis,
    "valkey": _valkey,
    "sentinel": _sentinel,
    "cluster": _cluster,
    "memcached": _memcached,
    "memcached-ring": _memcached_ring,
    "memcached-copies": _memcached_copies,
}
