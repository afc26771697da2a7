"""Clients of Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.clients import tasks, threads
from benchmarks.clients.values import TTL, key, redis_requests, value
from benchmarks.servers import HOST, Servers


def _redis_py(servers: Servers) -> threads.Users:
    client = servers.redis()  # its pool hands a connection to each thread

    def users(number: int) -> Mapping[str, threads.Do]:
        name, stored = key(number), value(0)
        return {
            "get": lambda: client.get(name),
            "set": lambda: client.set(name, stored, px=TTL * 1000),
        }

    return users


def _redis_asyncio(servers: Servers) -> tasks.Users:
    from redis.asyncio import Redis

    client = Redis(host=HOST, port=servers.redis_port)

    async def users(number: int) -> Mapping[str, tasks.Do]:
        name, stored = key(number), value(0)
        return {
            "get": lambda: client.get(name),
            "set": lambda: client.set(name, stored, px=TTL * 1000),
        }

    return users


SYNC: Final[dict[str, Callable[[Servers], threads.Users]]] = {
    "raw": lambda servers: threads.raw_users(servers.redis_port, redis_requests),
    "sessionstore": lambda servers: threads.our_users(servers.redis_url),
    "redis-py": _redis_py,
}
ASYNC: Final[dict[str, Callable[[Servers], tasks.Users]]] = {
    "raw": lambda servers: tasks.raw_users(servers.redis_port, redis_requests),
    "sessionstore": lambda servers: tasks.our_users(servers.redis_url),
    "redis-py": _redis_asyncio,
}
