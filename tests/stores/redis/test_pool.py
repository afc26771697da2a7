"""The sync transport's pool."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionstore.core.errors import StoreUnavailable
from sessionstore.core.verbs import Entry
from sessionstore.stores.redis import RedisStore
from sessionstore.stores.url import open_store
from sessionstore.testing import FaultProxy
from sessionstore.testing.driving import value
from sessionstore.testing.lifecycle import in_threads
from tests.stores.carrying import Stopwatch, carry
from tests.support.cancelling import Interrupted, interrupted_after
from tests.support.servers import RedisServer


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.socket) as proxy:
        yield proxy


def pooled(proxy: FaultProxy, prefix: str, size: int, timeout: float = 10) -> RedisStore:
    store = open_store(
        f"redis://{proxy.address}", prefix=prefix, max_connections=size, timeout=timeout
    )
    assert isinstance(store, RedisStore)
    return store


def test_one_thread_needs_one_connection(proxy: FaultProxy, prefix: str) -> None:
    store = pooled(proxy, prefix, 5)
    for _ in range(20):
        carry(store, "sync", store.load(store.key("h")))
    assert store.connections == proxy.accepted == 1
    store.close()


def test_the_bound_holds_and_everyone_is_served(proxy: FaultProxy, prefix: str) -> None:
    store = pooled(proxy, prefix, 3)
    key = store.key("h")
    carry(store, "sync", store.create(key, value(1), 60))

    def use(number: int) -> None:
        for _ in range(10):
            assert carry(store, "sync", store.load(key)) == Entry(value(1), value(1)[1:13])

    in_threads(12, use)
    assert store.connections <= 3
    assert proxy.accepted <= 3
    store.close()


def test_waiting_for_a_connection_ends_by_the_deadline(proxy: FaultProxy, prefix: str) -> None:
    store = pooled(proxy, prefix, 1)
    carry(store, "sync", store.load(store.key("h")))
    proxy.fault = "silent"

    def waits() -> None:
        with pytest.raises(StoreUnavailable):
            carry(store, "sync", store.load(store.key("h")), 1.0)

    proxy.requests.clear()
    hog = threading.Thread(target=waits)
    hog.start()
    while not proxy.requests:  # then the thread has the connection
        time.sleep(0.001)
    with Stopwatch(0.1), pytest.raises(StoreUnavailable, match="max_connections"):
        carry(store, "sync", store.load(store.key("h")), 0.1)
    hog.join()
    proxy.fault = ""
    assert carry(store, "sync", store.load(store.key("h"))) is None
    assert store.connections == 1
    store.close()


def test_an_interrupted_command_leaves_its_reply_to_nobody(proxy: FaultProxy, prefix: str) -> None:
    """Ctrl-C, a worker's timeout signal, gevent's Timeout: an exception out of nowhere."""
    store = pooled(proxy, prefix, 2)
    mine, other = store.key("mine"), store.key("other")
    for key in (mine, other):
        carry(store, "sync", store.create(key, value(1, key), 60))

    for pause in (0.001, 0.01, 0.03):
        proxy.fault, proxy.delay = "slices", 0.01
        with pytest.raises(Interrupted), interrupted_after(pause):
            carry(store, "sync", store.load(mine))
        proxy.fault = ""
        entry = carry(store, "sync", store.load(other))
        assert entry is not None
        assert entry.value[13:] == other
    assert store.connections == 1
    store.close()


def test_closing_while_in_use(proxy: FaultProxy, prefix: str) -> None:
    store = pooled(proxy, prefix, 4)
    carry(store, "sync", store.create(store.key("h"), value(1), 60))
    proxy.fault, proxy.delay = "slices", 0.002
    found: list[Entry | None] = []
    reader = threading.Thread(
        target=lambda: found.append(carry(store, "sync", store.load(store.key("h"))))
    )
    reader.start()
    time.sleep(0.02)
    store.close()
    reader.join()
    # It was served to the end, and then its connection was closed and not kept.
    assert found == [Entry(value(1), value(1)[1:13])]
    assert store.connections == 0
    deadline = time.monotonic() + 10
    while proxy.open:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_is_left_open(redis_server: RedisServer, prefix: str) -> None:
    """Also by a store that nobody closed."""

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()
    before = open_files()
    for _ in range(5):
        store = open_store(redis_server.url, prefix=prefix, timeout=10)
        carry(store, "sync", store.load(store.key("h")))
        carry(store, "async", store.load(store.key("h")))
        del store
    gc.collect()
    assert open_files() <= before
