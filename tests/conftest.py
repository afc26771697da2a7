"""Fixtures for every test: real servers, one of each kind for a test run (or xdist worker)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import hypothesis
import pytest

from tests.support import memcached_servers, servers
from tests.support.every_store import STORES, AnyStore
from tests.support.redis_topologies import (
    RedisCluster,
    SentinelGroup,
    run_cluster,
    run_sentinel,
)

# Time limits on examples would measure this machine. In CI the examples are the same every
# time, so that a red build is about the change that it is shown on.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
# By --hypothesis-profile=long: 4 times as many, and others each time.
hypothesis.settings.register_profile("long", deadline=None, max_examples=400)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, by anyio's plugin."""
    return "asyncio"


@pytest.fixture
def prefix() -> str:
    """A key prefix of this test's own: servers are shared and never flushed."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.RedisServer]:
    """Redis on a Unix socket."""
    with servers.run_redis() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[servers.RedisServer]:
    """Valkey on a Unix socket."""
    with servers.run_valkey() as server:
        yield server


@pytest.fixture(scope="session")
def redis_tls_server() -> Iterator[servers.RedisServer]:
    """Redis with TLS on a TCP port, and a password."""
    with servers.run_redis_tls() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.PostgresServer]:
    """PostgreSQL on a TCP port, with one empty database."""
    with servers.run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_server() -> Iterator[memcached_servers.MemcachedServer]:
    """memcached on a Unix socket."""
    with memcached_servers.run_memcached() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_ring() -> Iterator[memcached_servers.MemcachedRing]:
    """Three memcached that one store uses."""
    with memcached_servers.run_memcached_ring(3) as ring:
        yield ring


@pytest.fixture(scope="session")
def sentinel_group() -> Iterator[SentinelGroup]:
    """A primary, a replica and three sentinels, which no test may hurt."""
    with run_sentinel() as group:
        yield group


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three primaries, which no test may hurt."""
    with run_cluster(3) as cluster:
        yield cluster


@pytest.fixture(params=list(STORES))
def any_store(request: pytest.FixtureRequest, prefix: str) -> AnyStore:
    """Each store in turn. A test that cannot be of one of them parametrizes it indirectly."""
    return STORES[request.param](request, prefix)
