"""The servers that the sites share, and what befalls those."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg

from sessionstore.testing import FaultProxy
from tests.drill import redis_scenarios
from tests.drill.scenario import Story
from tests.soak.faults import Fault, of_the_network
from tests.soak.resources import descendants
from tests.support.figures import Window
from tests.support.memcached_servers import run_memcached
from tests.support.redis_topologies import (
    RedisCluster,
    RedisNode,
    SentinelGroup,
    run_cluster,
    run_sentinel,
)
from tests.support.servers import PostgresServer, postgres_ready, run_postgres

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Ground:
    """A store.

    :param url: for the sites
    :param faults: what can befall it
    :param connections: how many clients it has
    :param ask: asks every server something, past everything that can befall them
    :param timeout: seconds
    :param options: further ones for the URL
    """

    url: str
    faults: list[Fault]
    connections: Callable[[], int]
    ask: Callable[[], Any]
    timeout: float = 0.5
    options: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def redis(tell: Tell) -> Iterator[Ground]:
    """One server that writes everything to its disk before it answers."""
    with redis_scenarios.one_server(aof=True) as one, FaultProxy(one.node.address) as proxy:
        faults = [
            *of_the_network(proxy),
            Fault("store: stopped (SIGSTOP)", partial(_stop, lambda: [one.node.child.process.pid])),
            *_drills(one, tell, {"killed and restarted": redis_scenarios.kill_and_restart}),
        ]
        nodes = [one.node]
        clients, ask = partial(_redis_clients, nodes), partial(_ping, nodes)
        yield Ground(f"redis://{proxy.address}/0", faults, clients, ask)


@contextmanager
def sentinel(tell: Tell) -> Iterator[Ground]:
    """A primary and a replica; every write waits for both."""
    drills = {
        "primary killed": redis_scenarios.kill_primary,
        "primary frozen": redis_scenarios.freeze_primary,
        "replica killed": redis_scenarios.kill_replica,
    }
    with run_sentinel() as group:
        yield _durable(group, _drills(group, tell, drills))


@contextmanager
def cluster(tell: Tell) -> Iterator[Ground]:
    """Three primaries and their replicas; every write waits for both."""
    drills = {"primary killed": redis_scenarios.kill_node, "slots moved": redis_scenarios.migrate}
    with run_cluster(3, 1) as nodes:
        yield _durable(nodes, _drills(nodes, tell, drills))


@contextmanager
def memcached(tell: Tell) -> Iterator[Ground]:
    """One server, which keeps nothing: it is never restarted."""
    with run_memcached() as server, FaultProxy(server.address) as proxy:
        pids = [server.child.process.pid]
        faults = [
            *of_the_network(proxy),
            Fault("store: stopped (SIGSTOP)", partial(_stop, lambda: pids)),
        ]
        yield Ground(
            f"memcached://{proxy.address}",
            faults,
            lambda: int(server.stats()["curr_connections"]),
            server.stats,
        )


@contextmanager
def postgresql(tell: Tell) -> Iterator[Ground]:
    """One server, which loses nothing when it is killed.

    With more time than the others: it forks for each connection, on a machine that is busy.
    """
    with run_postgres("synchronous_commit=on") as server:
        parts = urlsplit(server.url)
        assert parts.port is not None
        with (
            FaultProxy(("127.0.0.1", parts.port)) as proxy,
            closing(PostgresClient(server.url)) as beside,
            closing(PostgresClient(server.url)) as witness,
        ):
            processes = partial(descendants, server.child.process.pid)
            faults = [
                *of_the_network(proxy),
                Fault("store: stopped (SIGSTOP)", partial(_stop, processes)),
                Fault("store: clients thrown out", partial(_throw_out, beside)),
                Fault("store: crashed and restarted", partial(_crash, server, parts.port)),
            ]
            url = server.url.replace(parts.netloc.rpartition("@")[2], proxy.address)
            yield Ground(url, faults, beside.count, partial(witness.ask, "SELECT 1"), 1.0)


STORES: Final[dict[str, Callable[[Tell], AbstractContextManager[Ground]]]] = {
    "redis": redis,
    "sentinel": sentinel,
    "cluster": cluster,
    "memcached": memcached,
    "postgresql": postgresql,
}


# -- Redis --


Drill = Callable[[Any, Story], None]


def _drills(servers: Any, tell: Tell, what: Mapping[str, Drill]) -> list[Fault]:
    """What the drill does to its servers, by what it is called."""

    def strike(scenario: Drill, draw: random.Random) -> Window | None:
        story = Story(tell)
        scenario(servers, story)
        return story.window

    return [Fault(f"store: {name}", partial(strike, each)) for name, each in what.items()]


def _durable(servers: SentinelGroup | RedisCluster, faults: list[Fault]) -> Ground:
    clients, ask = partial(_redis_clients, servers.nodes), partial(_ping, servers.nodes)
    return Ground(servers.url, faults, clients, ask, options={"durable": "all"})


def _redis_clients(nodes: Iterable[RedisNode]) -> int:
    """All but replicas, Sentinels and the soak's own."""
    clients = [client for node in nodes for client in node.client.client_list(_type="normal")]
    own = ("client|list", "client", "ping")  # what a connection has done last
    return sum(
        client["cmd"] not in own and not client["name"].startswith("sentinel-")
        for client in clients
    )


def _ping(nodes: Iterable[RedisNode]) -> None:
    """A server that waits for its disk answers nobody."""
    for node in nodes:
        node.client.ping()


# -- any process --


def _stop(processes: Callable[[], Iterable[int]], draw: random.Random) -> Window:
    began, pids = time.monotonic(), list(processes())
    try:
        _signal(pids, signal.SIGSTOP)
        time.sleep(draw.uniform(0.5, 3))
    finally:
        _signal(reversed(pids), signal.SIGCONT)
    return Window(began, time.monotonic())


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # PostgreSQL has one for each client, who may have left
            os.kill(pid, number)


# -- PostgreSQL --


_CLIENTS: Final = (
    "FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'soak'"
)


class PostgresClient:
    """The soak's own, on one connection as long as that lasts.

    :param url: of SQLAlchemy's kind
    """

    def __init__(self, url: str) -> None:
        self._dsn = url.replace("+psycopg", "")
        self._connection: psycopg.Connection[Any] | None = None

    def ask(self, query: str) -> list[Any]:
        """The rows of the answer; on another connection, if the server has ended this one."""
        if self._connection is not None:
            with suppress(psycopg.OperationalError):
                return self._connection.execute(query).fetchall()
            self._connection.close()
        self._connection = psycopg.connect(self._dsn, autocommit=True, application_name="soak")
        return self._connection.execute(query).fetchall()

    def count(self) -> int:
        """How many other clients there are."""
        return int(self.ask(f"SELECT count(*) {_CLIENTS}")[0][0])

    def close(self) -> None:
        """End it."""
        if self._connection is not None:
            self._connection.close()


def _throw_out(client: PostgresClient, draw: random.Random) -> Window:
    began = time.monotonic()
    client.ask(f"SELECT pg_terminate_backend(pid) {_CLIENTS}")
    return Window(began, time.monotonic())


def _crash(server: PostgresServer, port: int, draw: random.Random) -> Window:
    """SIGQUIT is its "immediate" shutdown: without a word to the disk."""
    began = time.monotonic()
    server.child.process.send_signal(signal.SIGQUIT)
    server.child.process.wait(20)
    time.sleep(draw.uniform(0.2, 1))
    server.child.start()
    server.child.wait_until(lambda: postgres_ready(port))
    return Window(began, time.monotonic())
