"""What other clients write to several servers is what we read there, byte for byte, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from sessionstore.core.verbs import Conflict, Exists, Missing
from sessionstore.stores.memcached import MemcachedStore
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, carry
from tests.support.memcached_clients import WITH_PYLIBMC, pylibmc_client, pymemcache_client
from tests.support.memcached_servers import MemcachedRing, run_memcached_ring


class Client(NamedTuple):
    """Another client, and what each server's share is to be."""

    connect: Callable[[list[tuple[str, int, int]]], Any]
    weights: tuple[int, ...]


CLIENTS = pytest.mark.parametrize(
    "client",
    [
        pytest.param(Client(pymemcache_client, (1, 1, 1)), id="pymemcache"),
        pytest.param(Client(pylibmc_client, (1, 1, 1)), id="pylibmc", marks=WITH_PYLIBMC),
        pytest.param(Client(pylibmc_client, (1, 2, 5)), id="weighted", marks=WITH_PYLIBMC),
    ],
)
PROTOCOLS = pytest.mark.parametrize("protocol", ["meta", "binary"])
BODIES = [
    b"",
    bytes(range(256)),
    b"\r\nEND\r\nVA 2 f0\r\n\xff\xff\r\n",
    "Grüße, 世界".encode(),
    bytes(range(256)) * 400,
]


@pytest.fixture(scope="module")
def three() -> Iterator[MemcachedRing]:
    """Servers that are spoken to by all clients."""
    with run_memcached_ring(3) as ring:
        yield ring


@pytest.fixture
def ours(
    three: MemcachedRing, client: Client, protocol: str, prefix: str
) -> Iterator[MemcachedStore]:
    weights = ",".join(map(str, client.weights))
    url = f"{three.url}?protocol={protocol}&weights={weights}"
    store = open_store(url, prefix=prefix, timeout=10)
    assert isinstance(store, MemcachedStore)
    yield store
    store.close()


@pytest.fixture
def theirs(three: MemcachedRing, client: Client) -> Iterator[Any]:
    places = [server.address for server in three.servers]
    servers = [
        (*place, weight)
        for place, weight in zip(places, client.weights, strict=True)
        if isinstance(place, tuple)
    ]
    connected = client.connect(servers)
    yield connected
    connected.disconnect_all()


def sessions(prefix: str) -> list[tuple[str, bytes]]:
    """Keys enough for every server to have some, and what is under them."""
    bodies = BODIES * 8
    return [
        (f"{prefix}:s:{number:016d}", value(number, body)) for number, body in enumerate(bodies)
    ]


@BOTH
@CLIENTS
@PROTOCOLS
def test_what_they_write_we_read(ours: MemcachedStore, theirs: Any, prefix: str, how: str) -> None:
    for key, written in sessions(prefix):
        assert theirs.set(key, written, 60)
        entry = carry(ours, how, ours.load(key.encode()))
        assert entry is not None
        assert entry.value == written


@BOTH
@CLIENTS
@PROTOCOLS
def test_what_we_write_they_read_change_and_delete(
    ours: MemcachedStore, theirs: Any, prefix: str, how: str
) -> None:
    for name, written in sessions(prefix):
        key = name.encode()
        version = carry(ours, how, ours.create(key, written, 60))
        assert not isinstance(version, Exists)
        assert theirs.get(name) == written
        assert theirs.set(name, written + b"!", 60)
        # Their write changed the version, so our save does not go over it.
        conflict = carry(ours, how, ours.replace(key, written, 60, version))
        assert isinstance(conflict, Conflict)
        assert conflict.entry.value == written + b"!"
        carry(ours, how, ours.replace(key, written + b"?", 60, conflict.entry.version))
        assert theirs.get(name) == written + b"?"
        assert theirs.delete(name)
        assert carry(ours, how, ours.delete(key)) == Missing()
