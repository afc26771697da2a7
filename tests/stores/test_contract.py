"""The contract, over every store, against real servers.

Marked ``once``: what differs from another one in its server's set-up alone, of which another Python
says nothing new.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionstore.stores.base import Store
from sessionstore.stores.url import open_store
from sessionstore.testing import EnumerableContract, PurgeableContract, StoreContract
from tests.support.configuration_endpoint import DiscoveredCluster
from tests.support.memcached_servers import MemcachedRing, MemcachedServer
from tests.support.redis_topologies import RedisCluster, SentinelGroup
from tests.support.servers import PostgresServer, RedisServer

# An attempt gets two fifths of it: long, because a busy machine is no fault of the store.
TIMEOUT = 10


def opened(url: str, prefix: str) -> Iterator[Store]:
    store = open_store(url, prefix=prefix, timeout=TIMEOUT)
    yield store
    store.close()


class TestMemory(StoreContract, EnumerableContract):
    shared_by_processes = False

    @pytest.fixture
    def store(self, prefix: str) -> Iterator[Store]:
        yield from opened("memory://", prefix)


class TestSQLite(StoreContract, EnumerableContract, PurgeableContract):
    @pytest.fixture
    def store(self, prefix: str, tmp_path: Path) -> Iterator[Store]:
        yield from opened(f"sqlite:///{tmp_path}/sessions.db", prefix)


class TestPostgreSQL(StoreContract, EnumerableContract, PurgeableContract):
    @pytest.fixture
    def store(self, prefix: str, postgres_server: PostgresServer) -> Iterator[Store]:
        # A table for each test, which tests that tables are made, and keeps purges apart.
        yield from opened(f"{postgres_server.url}?table={prefix.replace('-', '_')}", prefix)


class TestRedisUnixSocket(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, redis_server: RedisServer) -> Iterator[Store]:
        yield from opened(f"{redis_server.url}?db=3", prefix)


class TestValkeyUnixSocket(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, valkey_server: RedisServer) -> Iterator[Store]:
        yield from opened(f"{valkey_server.url}?db=3", prefix)


@pytest.mark.once
class TestValkeyLeastPrivilege(StoreContract):
    @pytest.fixture
    def store(self, prefix: str, valkey_acl_url: str) -> Iterator[Store]:
        yield from opened(valkey_acl_url, prefix)


@pytest.mark.once
class TestRedisTCPWithPassword(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, redis_tcp_server: RedisServer) -> Iterator[Store]:
        yield from opened(redis_tcp_server.url, prefix)


class TestRedisTLS(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, redis_tls_server: RedisServer) -> Iterator[Store]:
        yield from opened(redis_tls_server.url, prefix)


@pytest.mark.once
class TestRedisMutualTLS(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, redis_mutual_tls_server: RedisServer) -> Iterator[Store]:
        yield from opened(redis_mutual_tls_server.url, prefix)


@pytest.mark.once
class TestRedisLeastPrivilege(StoreContract):
    """The ACL that docs/reference/stores.md recommends. It cannot list keys, and need not."""

    @pytest.fixture
    def store(self, prefix: str, acl_url: str) -> Iterator[Store]:
        yield from opened(acl_url, prefix)


class TestRedisSentinel(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, sentinel_group: SentinelGroup) -> Iterator[Store]:
        yield from opened(sentinel_group.url, prefix)


@pytest.mark.once
class TestRedisSentinelGuarded(StoreContract, EnumerableContract):
    """TLS and passwords; sessions are read from the replica, and every write waits for it."""

    @pytest.fixture
    def store(self, prefix: str, guarded_sentinel_group: SentinelGroup) -> Iterator[Store]:
        more = "&read_from=replica&durable=all"
        yield from opened(guarded_sentinel_group.url + more, prefix)


class TestRedisCluster(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, redis_cluster: RedisCluster) -> Iterator[Store]:
        yield from opened(redis_cluster.url, prefix)


@pytest.mark.once
class TestRedisClusterGuarded(StoreContract, EnumerableContract):
    """TLS and a password; sessions are read from replicas, and every write waits for one."""

    @pytest.fixture
    def store(self, prefix: str, guarded_redis_cluster: RedisCluster) -> Iterator[Store]:
        more = "&read_from=replica&durable=all"
        yield from opened(guarded_redis_cluster.url + more, prefix)


@pytest.mark.once
class TestRedisDurableLogins(StoreContract, EnumerableContract):
    """``durable=1``: ordinary writes as ever."""

    @pytest.fixture
    def store(self, prefix: str, sentinel_group: SentinelGroup) -> Iterator[Store]:
        yield from opened(f"{sentinel_group.url}?durable=1", prefix)


class MemcachedContract(StoreContract):
    shortest_ttl = 1


class MemcachedTransport(MemcachedContract):
    """Another way to a server, which ends its items by the same clock: each wait for its next
    second is waited elsewhere."""

    test_an_expired_entry_is_absent_for_every_verb = None  # type: ignore[assignment]
    test_create_on_an_expired_entry = None  # type: ignore[assignment]
    test_replace_prolongs = None  # type: ignore[assignment]
    test_replace_shortens = None  # type: ignore[assignment]


class TestMemcachedUnixSocket(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_server.url, prefix)


class TestMemcachedBinaryTCP(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_tcp_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(f"{memcached_tcp_server.url}?protocol=binary", prefix)


@pytest.mark.once
class TestMemcachedMetaWithPassword(MemcachedTransport):
    @pytest.fixture
    def store(self, prefix: str, memcached_ascii_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_ascii_server.url, prefix)


@pytest.mark.once
class TestMemcachedSASL(MemcachedTransport):
    @pytest.fixture
    def store(self, prefix: str, memcached_sasl_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_sasl_server.url, prefix)


class TestMemcachedTLS(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_tls_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_tls_server.url, prefix)


@pytest.mark.once
class TestMemcachedSASLOverTLS(MemcachedTransport):
    @pytest.fixture
    def store(self, prefix: str, memcached_sasl_tls_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_sasl_tls_server.url, prefix)


@pytest.mark.once
class TestMemcachedMutualTLS(MemcachedTransport):
    @pytest.fixture
    def store(self, prefix: str, memcached_mutual_tls_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_mutual_tls_server.url, prefix)


@pytest.mark.once
class TestMemcachedRing(MemcachedTransport):
    @pytest.fixture
    def store(self, prefix: str, memcached_ring: MemcachedRing) -> Iterator[Store]:
        yield from opened(memcached_ring.url, prefix)


@pytest.mark.once
class TestMemcachedFailover(MemcachedTransport):
    @pytest.fixture
    def store(self, prefix: str, memcached_ring: MemcachedRing) -> Iterator[Store]:
        yield from opened(f"{memcached_ring.url}?failover=next", prefix)


@pytest.mark.once
class TestMemcachedCopies(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_ring: MemcachedRing) -> Iterator[Store]:
        yield from opened(f"{memcached_ring.url}?copies=2", prefix)


@pytest.mark.once  # most of its time goes by in waiting for items to expire
class TestMemcachedDiscovered(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_cluster: DiscoveredCluster) -> Iterator[Store]:
        yield from opened(memcached_cluster.url, prefix)
