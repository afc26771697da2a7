"""The servers of one run: its own, on loopback TCP, ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from tests.support.children import Child, accepts, on_free_port, require_binary, scratch_directory
from tests.support.memcached_servers import run_memcached_tcp
from tests.support.servers import NOTHING_ON_DISK

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Servers:
    """Where they listen: ports of loopback."""

    redis_port: int
    memcached_port: int

    @property
    def redis_url(self) -> str:
        """As every client takes it."""
        return f"redis://{HOST}:{self.redis_port}/0"

    @property
    def memcached_url(self) -> str:
        """As sessionstore takes it."""
        return f"memcached://{HOST}:{self.memcached_port}"

    def environment(self) -> dict[str, str]:
        """For :meth:`from_environment` in a child."""
        return {
            "BENCH_REDIS": str(self.redis_port),
            "BENCH_MEMCACHED": str(self.memcached_port),
        }

    @classmethod
    def from_environment(cls, environment: dict[str, str]) -> Servers:
        """What the parent has started."""
        return cls(int(environment["BENCH_REDIS"]), int(environment["BENCH_MEMCACHED"]))

    def redis(self) -> redis.Redis:
        """A plain client, to look at what is stored."""
        return redis.Redis(host=HOST, port=self.redis_port)


@contextmanager
def run_servers() -> Iterator[Servers]:
    """Redis without persistence and Memcached with its defaults."""
    program = require_binary("redis-server", "redis-server")
    with scratch_directory() as directory, run_memcached_tcp("-m", "512") as memcached:

        def start(port: int) -> Child:
            listen = ["--port", str(port), "--bind", HOST]
            return Child([program, *listen, *NOTHING_ON_DISK], directory)

        with on_free_port(start, accepts) as (port, _):
            assert isinstance(memcached.address, tuple)
            yield Servers(port, memcached.address[1])
