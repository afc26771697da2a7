"""What other clients write to a ring of servers is what we read there, byte for byte, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sessionstore.core.verbs import Conflict, Exists, Missing
from sessionstore.stores.memcached import MemcachedStore
from sessionstore.stores.memcached.ring import Member, Ring, ketama_label
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, carry
from tests.support.memcached_clients import WITH_PYLIBMC, pylibmc_client, pymemcache_client
from tests.support.memcached_servers import run_memcached_tcp

Address = tuple[str, int]
CLIENTS = pytest.mark.parametrize(
    "connect",
    [pymemcache_client, pytest.param(pylibmc_client, marks=WITH_PYLIBMC)],
    ids=["pymemcache", "pylibmc"],
)
SECONDS = 10
BODIES = [
    b"",
    bytes(range(256)),
    b"\r\nEND\r\nVA 2 f0\r\n\xff\xff\r\n",
    "Grüße, 世界".encode(),
    bytes(range(256)) * 400,
]


@pytest.fixture(scope="module")
def addresses() -> Iterator[list[Address]]:
    """Three servers."""
    with ExitStack() as stack:
        servers = [stack.enter_context(run_memcached_tcp()) for _ in range(3)]
        yield [server.address for server in servers if isinstance(server.address, tuple)]


@pytest.fixture(params=["meta", "binary"])
def ring(
    request: pytest.FixtureRequest, addresses: list[Address], prefix: str
) -> Iterator[Ring[MemcachedStore]]:
    """Ours: one store for each server."""
    members = []
    for host, port in addresses:
        url = f"memcached://{host}:{port}?protocol={request.param}"
        store = open_store(url, prefix=prefix, timeout=SECONDS)
        assert isinstance(store, MemcachedStore)
        members.append(Member(store, ketama_label(host, port)))
    yield Ring(members)
    for member in members:
        member.node.close()


@pytest.fixture
def theirs(connect: Callable[[list[Address]], Any], addresses: list[Address]) -> Iterator[Any]:
    client = connect(addresses)
    yield client
    client.disconnect_all()


def sessions(prefix: str) -> list[tuple[str, bytes]]:
    """Keys enough for every server to have some, and what is under them."""
    bodies = BODIES * 6
    return [
        (f"{prefix}:s:{number:016d}", value(number, body)) for number, body in enumerate(bodies)
    ]


@BOTH
@CLIENTS
def test_what_they_write_we_read(
    ring: Ring[MemcachedStore], theirs: Any, prefix: str, how: str
) -> None:
    holders = set()
    for key, written in sessions(prefix):
        assert theirs.set(key, written, 60)
        holder = ring.owner(key.encode())
        for store in ring.walk(key.encode()):
            entry = carry(store, how, store.load(key.encode()))
            assert (entry and entry.value) == (written if store is holder else None)
        holders.add(holder)
    assert len(holders) == 3, "a server had no key, so nothing was shown of it"


@BOTH
@CLIENTS
def test_what_we_write_they_read_change_and_delete(
    ring: Ring[MemcachedStore], theirs: Any, prefix: str, how: str
) -> None:
    for key, written in sessions(prefix):
        name, store = key.encode(), ring.owner(key.encode())
        version = carry(store, how, store.create(name, written, 60))
        assert not isinstance(version, Exists)
        assert theirs.get(key) == written
        assert theirs.set(key, written + b"!", 60)
        # Their write changed the version, so our save does not go over it.
        conflict = carry(store, how, store.replace(name, written, 60, version))
        assert isinstance(conflict, Conflict)
        assert conflict.entry.value == written + b"!"
        carry(store, how, store.replace(name, written + b"?", 60, conflict.entry.version))
        assert theirs.get(key) == written + b"?"
        assert theirs.delete(key)
        assert carry(store, how, store.delete(name)) == Missing()
