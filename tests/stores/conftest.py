"""Redis and Memcached servers as people run them, beside those that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import quote

import pytest

from tests.support import memcached_servers
from tests.support.children import Child, accepts, on_free_port, require_binary, scratch_directory
from tests.support.configuration_endpoint import ConfigurationEndpoint, DiscoveredCluster
from tests.support.memcached_servers import MemcachedRing, MemcachedServer
from tests.support.redis_topologies import (
    RedisCluster,
    SentinelGroup,
    run_cluster,
    run_sentinel,
)
from tests.support.servers import NOTHING_ON_DISK, RedisServer, run_redis_tls

PASSWORD = "p@ss:w/rd?#%"
"""With everything that a URL must escape."""

LEAST_PRIVILEGE = ("nocommands", "+get", "+set", "+del", "+eval", "+evalsha")
"""What docs/reference/stores.md recommends; the list for ElastiCache has all of these and more."""


@pytest.fixture(scope="session")
def redis_tcp_server() -> Iterator[RedisServer]:
    """Redis on a TCP port, with a password."""
    program = require_binary("redis-server", "redis-server")
    with scratch_directory() as directory:
        options = ["--unixsocket", str(directory / "redis.sock"), "--requirepass", PASSWORD]

        def start(port: int) -> Child:
            listen = ["--port", str(port), "--bind", "127.0.0.1"]
            return Child([program, *listen, *options, *NOTHING_ON_DISK], directory)

        with on_free_port(start, accepts) as (port, child):
            url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0"
            yield RedisServer(url, child, directory)


@pytest.fixture(scope="session")
def redis_mutual_tls_server() -> Iterator[RedisServer]:
    """Redis that wants a client certificate besides the password; the URL has it."""
    with run_redis_tls("--tls-auth-clients", "yes") as server:
        files = server.certificates
        assert files is not None
        client = f"&cert={quote(str(files.client))}&key={quote(str(files.client_key))}"
        yield replace(server, url=server.url + client)


@pytest.fixture(scope="session")
def guarded_sentinel_group() -> Iterator[SentinelGroup]:
    """The same with TLS, and with passwords of their own for servers and sentinels."""
    with run_sentinel(password=PASSWORD, sentinel_password=f"of the {PASSWORD}", tls=True) as group:
        yield group


@pytest.fixture(scope="session")
def guarded_redis_cluster() -> Iterator[RedisCluster]:
    """Three primaries with a replica each, TLS and a password."""
    with run_cluster(3, 1, password=PASSWORD, tls=True) as cluster:
        yield cluster


@pytest.fixture
def acl_url(redis_server: RedisServer, prefix: str) -> Iterator[str]:
    """The URL of a user who may do what the documentation's ACL lists, under this prefix only."""
    with least_privileged(redis_server, prefix) as url:
        yield url


@pytest.fixture
def valkey_acl_url(valkey_server: RedisServer, prefix: str) -> Iterator[str]:
    """The same, of Valkey."""
    with least_privileged(valkey_server, prefix) as url:
        yield url


@contextmanager
def least_privileged(server: RedisServer, prefix: str) -> Iterator[str]:
    """Makes that user, and gives its URL."""
    with server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", prefix, "on", f">{PASSWORD}", f"~{prefix}:s:*", *LEAST_PRIVILEGE
        )
        path = server.url.removeprefix("redis+unix://")
        yield f"redis+unix://{prefix}:{quote(PASSWORD, safe='')}@{path}"
        client.execute_command("ACL", "DELUSER", prefix)


# -- Memcached --


@pytest.fixture(scope="session")
def memcached_ascii_server() -> Iterator[MemcachedServer]:
    """memcached that asks for a password in the text protocol."""
    with memcached_servers.run_memcached_ascii() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_sasl_server() -> Iterator[MemcachedServer]:
    """memcached that asks for a password by SASL."""
    with memcached_servers.run_memcached_sasl() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_tcp_server() -> Iterator[MemcachedServer]:
    """memcached on a TCP port, without a password."""
    with memcached_servers.run_memcached_tcp() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_tls_server() -> Iterator[MemcachedServer]:
    """memcached that speaks TLS and asks for a password in the text protocol."""
    with memcached_servers.run_memcached_tls() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_sasl_tls_server() -> Iterator[MemcachedServer]:
    """memcached that speaks TLS and asks for a password by SASL."""
    with memcached_servers.run_memcached_tls(sasl=True) as server:
        yield server


@pytest.fixture(scope="session")
def memcached_mutual_tls_server() -> Iterator[MemcachedServer]:
    """memcached that asks for a client's certificate, too; the URL has it."""
    with memcached_servers.run_memcached_tls(mutual=True) as server:
        yield server


@pytest.fixture(scope="session")
def memcached_cluster(memcached_ring: MemcachedRing) -> Iterator[DiscoveredCluster]:
    """The same three, as a configuration endpoint names them."""
    with ConfigurationEndpoint() as endpoint:
        endpoint.name(*memcached_ring.servers)
        yield DiscoveredCluster(endpoint, memcached_ring.servers)
