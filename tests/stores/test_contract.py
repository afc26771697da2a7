"""The contract, over every store, against real servers."""

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


class TestValkeyLeastPrivilege(StoreContract):
    @pytest.fixture
    def store(self, prefix: str, valkey_acl_url: str) -> Iterator[Store]:
        yield from opened(valkey_acl_url, prefix)


class TestRedisTCPWithPassword(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, redis_tcp_server: RedisServer) -> Iterator[Store]:
        yield from opened(redis_tcp_server.url, prefix)


class TestRedisTLS(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, redis_tls_server: RedisServer) -> Iterator[Store]:
        yield from opened(redis_tls_server.url, prefix)


class TestRedisMutualTLS(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, redis_mutual_tls_server: RedisServer) -> Iterator[Store]:
        yield from opened(redis_mutual_tls_server.url, prefix)


class TestRedisLeastPrivilege(StoreContract):
    """The ACL that docs/reference/stores.md recommends. It cannot list keys, and need not."""

    @pytest.fixture
    def store(self, prefix: str, acl_url: str) -> Iterator[Store]:
        yield from opened(acl_url, prefix)


class TestRedisSentinel(StoreContract, EnumerableContract):
    @pytest.fixture
    def store(self, prefix: str, sentinel_group: SentinelGroup) -> Iterator[Store]:
        yield from opened(sentinel_group.url, prefix)


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


class TestRedisClusterGuarded(StoreContract, EnumerableContract):
    """TLS and a password; sessions are read from replicas, and every write waits for one."""

    @pytest.fixture
    def store(self, prefix: str, guarded_redis_cluster: RedisCluster) -> Iterator[Store]:
        more = "&read_from=replica&durable=all"
        yield from opened(guarded_redis_cluster.url + more, prefix)


class TestRedisDurableLogins(StoreContract, EnumerableContract):
    """``durable=1``: ordinary writes as ever."""

    @pytest.fixture
    def store(self, prefix: str, sentinel_group: SentinelGroup) -> Iterator[Store]:
        yield from opened(f"{sentinel_group.url}?durable=1", prefix)


class MemcachedContract(StoreContract):
    shortest_ttl = 1


class TestMemcachedUnixSocket(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_server.url, prefix)


class TestMemcachedBinaryTCP(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_tcp_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(f"{memcached_tcp_server.url}?protocol=binary", prefix)


class TestMemcachedMetaWithPassword(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_ascii_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_ascii_server.url, prefix)


class TestMemcachedSASL(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_sasl_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_sasl_server.url, prefix)


class TestMemcachedTLS(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_tls_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_tls_server.url, prefix)


class TestMemcachedSASLOverTLS(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_sasl_tls_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_sasl_tls_server.url, prefix)


class TestMemcachedMutualTLS(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_mutual_tls_server: MemcachedServer) -> Iterator[Store]:
        yield from opened(memcached_mutual_tls_server.url, prefix)


class TestMemcachedRing(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_ring: MemcachedRing) -> Iterator[Store]:
        yield from opened(memcached_ring.url, prefix)


class TestMemcachedFailover(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_ring: MemcachedRing) -> Iterator[Store]:
        yield from opened(f"{memcached_ring.url}?failover=next", prefix)


class TestMemcachedCopies(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_ring: MemcachedRing) -> Iterator[Store]:
        yield from opened(f"{memcached_ring.url}?copies=2", prefix)


@pytest.mark.once  # most of its time goes by in waiting for items to expire
class TestMemcachedDiscovered(MemcachedContract):
    @pytest.fixture
    def store(self, prefix: str, memcached_cluster: DiscoveredCluster) -> Iterator[Store]:
        yield from opened(memcached_cluster.url, prefix)
