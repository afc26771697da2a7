"""What a server says of its own work: CPU time, and bytes on its connections."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from benchmarks.servers import HOST

_MEMCACHED: Final = ("rusage_user", "rusage_system", "bytes_read", "bytes_written")


@dataclass(frozen=True)
class Counters:
    """Since the server was started.

    :param cpu: seconds, of all its threads
    :param received: bytes
    :param sent: bytes
    """

    cpu: float
    received: float
    sent: float

    def __sub__(self, before: Counters) -> Counters:
        return Counters(
            self.cpu - before.cpu, self.received - before.received, self.sent - before.sent
        )


def redis_counters(client: redis.Redis) -> Counters:
    """``INFO``."""
    cpu, network = client.info("cpu"), client.info("stats")
    return Counters(
        cpu["used_cpu_sys"] + cpu["used_cpu_user"],
        network["total_net_input_bytes"],
        network["total_net_output_bytes"],
    )


def memcached_counters(port: int) -> Counters:
    """``stats``."""
    found = memcached_stats(port)
    user, system, received, sent = (float(found[name]) for name in _MEMCACHED)
    return Counters(user + system, received, sent)


def memcached_stats(port: int, about: str = "") -> Mapping[str, str]:
    """What an open server tells.

    :param about: such as ``"slabs"``
    """
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.sendall(f"stats {about}".strip().encode() + b"\r\n")
        reply = b""
        while not reply.endswith(b"END\r\n"):
            reply += connection.recv(65536)
    lines = (line.decode().split(" ", 2) for line in reply.splitlines()[:-1])
    return {name: value for _, name, value in lines}


def process_counters(pid: int) -> Counters:
    """A process's CPU time as Linux counts it, for a server that does not tell us."""
    threads = Path("/proc", str(pid), "task").glob("*/schedstat")
    return Counters(sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9, 0, 0)
