"""What carries a command to Redis or Memcached and its reply back: sessionstore's stores, the
client libraries, and a plain socket with a prebuilt request, which is as quick as it can be.

Each has ``get`` and ``set`` of a value of the same size. Of sessionstore's stores ``set`` is a
compare-and-set, since that is what writing a session is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from benchmarks.servers import Servers

OPERATIONS: Final = ("get", "set")
CONCURRENCY: Final = (1, 8, 50)
"""Threads or tasks."""

RAW: Final = "raw"
OURS: Final = "sessionstore"


@dataclass(frozen=True)
class Client:
    """One client.

    :param server: ``"redis"`` or ``"memcached"``
    :param style: ``"sync"``: threads; ``"async"``: tasks of one event loop
    :param library: what the module for that style and server calls it
    """

    server: str
    style: str
    library: str
    title: str

    @property
    def name(self) -> str:
        """In results and on the command line."""
        return f"{self.group}:{self.library}"

    @property
    def group(self) -> str:
        """Those that are compared with one another."""
        return f"{self.server}-{self.style}"

    def worker(self, servers: Servers) -> Any:
        """What runs it, for :mod:`benchmarks.worker`."""
        libraries = import_module(f"benchmarks.clients.{self.server}")
        if self.style == "sync":
            from benchmarks.clients.threads import ThreadedWorker

            return ThreadedWorker(libraries.SYNC[self.library](servers))
        from benchmarks.clients.tasks import TaskWorker

        return TaskWorker(asyncio.new_event_loop(), libraries.ASYNC[self.library](servers))


CLIENTS: Final = {
    client.name: client
    for client in (
        Client("redis", "sync", RAW, "a plain socket"),
        Client("redis", "sync", OURS, "sessionstore"),
        Client("redis", "sync", "redis-py", "redis-py"),
        Client("redis", "async", RAW, "a plain socket for each task"),
        Client("redis", "async", OURS, "sessionstore"),
        Client("redis", "async", "redis-py", "redis.asyncio"),
        Client("memcached", "sync", RAW, "a plain socket"),
        Client("memcached", "sync", OURS, "sessionstore"),
        Client("memcached", "sync", "pymemcache", "pymemcache, pooled"),
        Client("memcached", "async", RAW, "a plain socket for each task"),
        Client("memcached", "async", OURS, "sessionstore"),
        Client("memcached", "async", "emcache", "emcache, its 2 connections"),
        Client("memcached", "async", "emcache-8", "emcache, 8 connections"),
    )
}
