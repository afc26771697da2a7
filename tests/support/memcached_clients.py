"""Other people's clients for Memcached, each set up to place keys as libmemcached does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest
from pymemcache.client.hash import HashClient
from uhashring import HashRing

WITH_PYLIBMC = pytest.mark.skipif(
    sys.version_info >= (3, 12) or sys.platform != "linux",
    reason="no wheel of pylibmc for this Python; what it said elsewhere is recorded",
)


class Ketama:
    """A ring for pymemcache, of uhashring's.

    pymemcache names a server ``host:port``, where libmemcached leaves out 11211.
    """

    def __init__(self) -> None:
        self._ring = HashRing(hash_fn="ketama")
        self._names: dict[str, str] = {}

    def add_node(self, name: str) -> None:
        label = name.removesuffix(":11211")
        self._names[label] = name
        self._ring.add_node(label)

    def remove_node(self, name: str) -> None:
        self._ring.remove_node(name.removesuffix(":11211"))

    def get_node(self, key: str) -> str | None:
        return self._names.get(self._ring.get_node(key))


def pymemcache_client(servers: Sequence[tuple[str, int, int]]) -> HashClient:
    """pymemcache on one ring of several servers: host, port, and a weight, which is 1."""
    assert all(weight == 1 for *_, weight in servers), "a hasher of pymemcache's is told none"
    places = [(host, port) for host, port, _ in servers]
    return HashClient(places, hasher=Ketama, no_delay=True, default_noreply=False)


def pylibmc_client(servers: Sequence[tuple[str, int, int]]) -> Any:
    """pylibmc on one ring of several servers, for tests that are marked ``WITH_PYLIBMC``."""
    import pylibmc

    addresses = [f"{host}:{port}:{weight}" for host, port, weight in servers]
    return pylibmc.Client(addresses, behaviors={"ketama_weighted": True})
