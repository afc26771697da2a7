"""The servers of each scenario with Memcached, and what befalls them: always the first of three."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sessionstore.core.errors import StoreError
from sessionstore.core.flow import Command, run
from sessionstore.stores.base import Store
from sessionstore.stores.memcached.ring import Member, Ring, ketama_label
from sessionstore.stores.url import open_store
from tests.drill.scenario import EVERYTHING, PREFIX, Keeps, Scenario, Story
from tests.support.memcached_servers import MemcachedServer, run_memcached_ring

LATER: Final = 4.0
"""Seconds until whoever is in charge notices, and starts a dead server again or thaws it."""
WELL_WITHIN: Final = 30.0
"""Seconds for what takes a few."""

NO_ZOMBIE: Final = Keeps(logouts=True)
"""A lost server's sessions are lost. That is no reason for ended ones to come back."""


class Three:
    """Three servers, a store of the drill's own, and a key of the first server's share."""

    def __init__(self, servers: tuple[MemcachedServer, ...], options: Mapping[str, str]) -> None:
        self.first = servers[0].child
        ports = [server.address[1] for server in servers if isinstance(server.address, tuple)]
        self.port = ports[0]
        self.url = "memcached://" + ",".join(f"127.0.0.1:{port}" for port in ports)
        query = "".join(f"&{name}={value}" for name, value in options.items())
        self.store: Store = open_store(f"{self.url}?timeout=0.5{query}", prefix=PREFIX)
        ring = Ring([Member(port, ketama_label("127.0.0.1", port)) for port in ports])
        self.key = next(
            key
            for number in range(10_000)
            if ring.owner(key := self.store.key(f"probe-{number}")) == self.port
        )

    def signal(self, number: signal.Signals) -> None:
        """To the first server."""
        self.first.process.send_signal(number)

    def kill(self) -> None:
        """The first server."""
        self.signal(signal.SIGKILL)
        self.first.process.wait()

    def flush(self) -> None:
        """The first server."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(b"flush_all\r\n")
            assert connection.recv(16) == b"OK\r\n"

    def wait_until_answered(self) -> None:
        """Until the first server's share is answered for."""
        deadline, problem = time.monotonic() + WELL_WITHIN, None
        while time.monotonic() < deadline:
            try:
                run(self.store.load(self.key), self._execute)
            except StoreError as error:
                problem = error
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"not answered within {WELL_WITHIN} s: {problem}")

    def _execute(self, command: Command[Any]) -> Any:
        return self.store.execute(command, time.monotonic() + self.store.timeout)

    def wait_until_whole(self) -> None:
        """Until no server is left out."""
        deadline = time.monotonic() + WELL_WITHIN
        while not all(node.available for node in self.store.health()):
            assert time.monotonic() < deadline, "a server is still left out"
            time.sleep(0.02)


@contextmanager
def three(options: Mapping[str, str]) -> Iterator[Three]:
    """Started; open to everybody on this machine."""
    with run_memcached_ring(3) as ring:
        servers = Three(ring.servers, options)
        try:
            yield servers
        finally:
            servers.store.close()


def kill_and_restart(servers: Three, story: Story) -> None:
    """As a supervisor does: nobody takes its place meanwhile."""
    story.strikes("SIGKILL to one of three servers")
    servers.kill()
    time.sleep(0.5)
    servers.first.start()
    servers.wait_until_answered()
    story.is_over("it is started again, empty")


def freeze(servers: Three, story: Story) -> None:
    """Its sessions are where they were."""
    story.strikes("SIGSTOP to one of three servers")
    servers.signal(signal.SIGSTOP)
    time.sleep(LATER)
    servers.signal(signal.SIGCONT)
    servers.wait_until_answered()
    story.is_over("SIGCONT, and it answers")


def kill_and_restart_late(servers: Three, story: Story) -> None:
    """When the next one has taken its place."""
    story.strikes("SIGKILL to one of three servers")
    servers.kill()
    servers.wait_until_answered()
    story.is_over("the next server has its share")
    time.sleep(LATER)
    servers.first.start()
    servers.wait_until_whole()
    story.note("it is started again, empty, and is taken back")


def freeze_and_thaw_late(servers: Three, story: Story) -> None:
    """The zombie: it wakes with all the sessions that have been ended elsewhere."""
    story.strikes("SIGSTOP to one of three servers")
    servers.signal(signal.SIGSTOP)
    servers.wait_until_answered()
    story.is_over("the next server has its share")
    time.sleep(LATER)
    servers.signal(signal.SIGCONT)
    story.note("SIGCONT: it is back with what it had")
    time.sleep(LATER)
    servers.flush()
    servers.wait_until_whole()
    story.note("it is flushed, and is taken back")


_NEXT: Final = {"failover": "next"}
_COPIES: Final = {"copies": "2"}


def _scenario(
    name: str,
    title: str,
    fault: Callable[[Three, Story], None],
    keeps: Keeps,
    options: Mapping[str, str] | None = None,
) -> Scenario:
    options = options or {}
    servers = partial(three, options)
    return Scenario(name, title, servers, fault, keeps, options, page="memcached")


_KILL: Final = "killed, restarted at once"
_FREEZE: Final = "frozen, later thawed"
_LATE: Final = "killed, restarted late"

MEMCACHED: Final = (
    _scenario("memcached-kill", _KILL, kill_and_restart, NO_ZOMBIE),
    _scenario("memcached-freeze", _FREEZE, freeze, EVERYTHING),
    _scenario("memcached-next-kill", _LATE, kill_and_restart_late, NO_ZOMBIE, _NEXT),
    _scenario("memcached-next-freeze", _FREEZE, freeze_and_thaw_late, NO_ZOMBIE, _NEXT),
    _scenario("memcached-copies-kill", _LATE, kill_and_restart_late, EVERYTHING, _COPIES),
    _scenario("memcached-copies-freeze", _FREEZE, freeze_and_thaw_late, EVERYTHING, _COPIES),
)
