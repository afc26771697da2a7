"""Several servers: each key has its own, and a lost one takes its share and nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from sessionstore.core.errors import StoreUnavailable
from sessionstore.stores.base import Entry
from sessionstore.stores.memcached import MemcachedStore
from tests.stores.carrying import BOTH, Stopwatch, carry, revived
from tests.stores.memcached.conftest import memcached
from tests.support.memcached_servers import MemcachedRing, run_memcached_ring

TIMEOUT = 0.6


@pytest.fixture
def three() -> Iterator[MemcachedRing]:
    """Servers that a test may stop."""
    with run_memcached_ring(3) as ring:
        yield ring


@pytest.fixture
def store(three: MemcachedRing, prefix: str) -> Iterator[MemcachedStore]:
    store = memcached(three.url, prefix=prefix, timeout=TIMEOUT)
    yield store
    store.close()


def filled(store: MemcachedStore, how: str, count: int = 60) -> dict[bytes, Entry]:
    """Sessions, by their keys."""
    entries = {}
    for _ in range(count):
        key, value = store.key(os.urandom(8).hex()), os.urandom(20)
        version = carry(store, how, store.create(key, value, 60))
        entries[key] = Entry(value, version)
    return entries


def by_node(store: MemcachedStore, entries: dict[bytes, Entry]) -> dict[str, list[bytes]]:
    shares: dict[str, list[bytes]] = {node.name: [] for node in store._topology.nodes()}
    for key in entries:
        node = store._topology.node_for(key)  # type: ignore[attr-defined]
        shares[node.name].append(key)
    return shares


@BOTH
def test_each_server_has_its_share(store: MemcachedStore, three: MemcachedRing, how: str) -> None:
    entries = filled(store, how)
    shares = by_node(store, entries)
    assert all(shares.values())
    for server in three.servers:
        alone = memcached(server.url, prefix=store.prefix)
        mine = shares[server.url.removeprefix("memcached://")]
        found = [key for key in entries if carry(alone, how, alone.load(key)) is not None]
        assert found == mine
        alone.close()


@BOTH
def test_the_order_of_the_servers_in_the_url_means_nothing(
    store: MemcachedStore, three: MemcachedRing, how: str
) -> None:
    entries = filled(store, how)
    hosts = three.url.removeprefix("memcached://").split(",")
    other = memcached("memcached://" + ",".join(reversed(hosts)), prefix=store.prefix)
    for key, entry in entries.items():
        assert carry(other, how, other.load(key)) == entry
    other.close()


@BOTH
def test_a_dead_server_takes_its_share_and_leaves_the_rest(
    store: MemcachedStore, three: MemcachedRing, how: str
) -> None:
    entries = filled(store, how)
    shares = by_node(store, entries)
    dead = three.servers[0]
    lost = shares[dead.url.removeprefix("memcached://")]
    dead.child.stop()
    for key, entry in entries.items():
        if key in lost:
            with pytest.raises(StoreUnavailable):
                carry(store, how, store.load(key))
        else:
            assert carry(store, how, store.load(key)) == entry
            assert isinstance(carry(store, how, store.replace(key, b"2", 60, entry.version)), int)


@BOTH
def test_a_frozen_server_costs_its_deadline_only_until_that_is_known(
    store: MemcachedStore, three: MemcachedRing, how: str
) -> None:
    entries = filled(store, how)
    frozen = three.servers[0]
    name = frozen.url.removeprefix("memcached://")
    lost = by_node(store, entries)[name]
    frozen.child.freeze()
    try:
        deadline = time.monotonic() + 20
        while not any(node.node == name and not node.available for node in store.health()):
            assert time.monotonic() < deadline
            with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
                carry(store, how, store.load(lost[0]))
        spared = 0
        while not spared:
            try:
                carry(store, how, store.load(lost[0]))
            except StoreUnavailable as error:
                spared += "not tried" in str(error)
        others = [key for key in entries if key not in lost]
        assert carry(store, how, store.load(others[0])) == entries[others[0]]
    finally:
        frozen.child.process.send_signal(signal.SIGCONT)
    # Nobody was sent elsewhere meanwhile, so what it has is what it had.
    for key in lost:
        assert revived(store, how, lambda key=key: store.load(key)) == entries[key]  # type: ignore[misc]


def test_health_names_every_server(store: MemcachedStore, three: MemcachedRing) -> None:
    filled(store, "sync")
    assert [node.node for node in store.health()] == [
        server.url.removeprefix("memcached://") for server in three.servers
    ]
    assert all(node.available and node.answered for node in store.health())


@BOTH
def test_the_servers_name_comes_from_all_of_them(
    store: MemcachedStore, three: MemcachedRing, how: str
) -> None:
    assert carry(store, how, store.server()).startswith("memcached ")
    three.servers[1].child.stop()
    with pytest.raises(StoreUnavailable, match=three.servers[1].url.removeprefix("memcached://")):
        carry(store, how, store.server())
