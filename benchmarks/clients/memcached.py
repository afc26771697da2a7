"""Clients of Memcached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks.clients import CONCURRENCY, tasks, threads
from benchmarks.clients.values import TTL, key, memcached_requests, value
from benchmarks.servers import HOST, Servers


def _pymemcache(servers: Servers) -> threads.Users:
    from pymemcache.client.base import PooledClient

    server = (HOST, servers.memcached_port)
    client = PooledClient(server, max_pool_size=max(CONCURRENCY), no_delay=True)

    def users(number: int) -> Mapping[str, threads.Do]:
        name, stored = key(number), value(0)
        return {
            "get": lambda: client.get(name),
            "set": lambda: client.set(name, stored, TTL, noreply=False),
        }

    return users


def _emcache(connections: int) -> Callable[[Servers], tasks.Users]:
    def make(servers: Servers) -> tasks.Users:
        import emcache

        opened: list[Any] = []

        async def users(number: int) -> Mapping[str, tasks.Do]:
            if not opened:
                node = emcache.MemcachedHostAddress(HOST, servers.memcached_port)
                opened.append(
                    await emcache.create_client(
                        [node], max_connections=connections, min_connections=connections
                    )
                )
            [client] = opened
            name, stored = key(number), value(0)

            async def get() -> bytes:
                found: bytes = (await client.get(name)).value
                return found

            return {"get": get, "set": lambda: client.set(name, stored, exptime=TTL)}

        return users

    return make


SYNC: Final[dict[str, Callable[[Servers], threads.Users]]] = {
    "raw": lambda servers: threads.raw_users(servers.memcached_port, memcached_requests),
    "sessionstore": lambda servers: threads.our_users(servers.memcached_url),
    "pymemcache": _pymemcache,
}
ASYNC: Final[dict[str, Callable[[Servers], tasks.Users]]] = {
    "raw": lambda servers: tasks.raw_users(servers.memcached_port, memcached_requests),
    "sessionstore": lambda servers: tasks.our_users(servers.memcached_url),
    "emcache": _emcache(2),
    "emcache-8": _emcache(8),
}
