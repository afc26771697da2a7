"""Real sentinels, when all is well; and what they refuse."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator

import pytest

from sessionstore.core.errors import StoreRefused, StoreUnavailable
from sessionstore.core.verbs import Entry
from sessionstore.stores.base import Store
from sessionstore.stores.redis import RedisStore
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from sessionstore.testing.lifecycle import forked, in_threads
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.stores.users import Users, connections_to, open_files, watchers
from tests.support.redis_topologies import SentinelGroup
from tests.support.scripted_topology import eventually

TIMEOUT = 0.8
ENTRY = Entry(value(1), value(1)[1:13])


@pytest.fixture
def store(sentinel_group: SentinelGroup, prefix: str) -> Iterator[Store]:
    store = open_store(sentinel_group.url, prefix=prefix, timeout=10)
    yield store
    store.close()
    eventually(lambda: watchers() == 0)


@BOTH
def test_the_primary_is_found(sentinel_group: SentinelGroup, store: Store, how: str) -> None:
    key = store.key("h")
    carry(store, how, store.create(key, value(1), 60))
    assert carry(store, how, store.load(key)) == ENTRY
    assert sentinel_group.client(sentinel_group.primary).get(key) == value(1)
    health = store.health()
    assert all(each.available and not each.failing for each in health)
    assert [each.role for each in health] == ["primary", "sentinel", "sentinel", "sentinel"]


def test_many_come_at_once(store: Store) -> None:
    """Threads, and tasks of several loops, before anything is known."""

    def use(number: int) -> None:
        if number < 32:
            key = store.key(f"{number:016x}")
            carry(store, "sync", store.create(key, value(1, key), 60))
            entry = carry(store, "sync", store.load(key))
            assert entry is not None
            assert entry.value[13:] == key
        else:
            users = Users(store, "async")
            keys = [store.key(f"{number:08x}{task:08x}") for task in range(20)]
            for done in [users(store.create(key, value(1, key), 60)) for key in keys]:
                done.result(20)
            entries = [users(store.load(key)) for key in keys]
            assert [entry.result(20).value[13:] for entry in entries] == keys
            users.close()

    in_threads(36, use)


@BOTH
def test_closing_ends_the_threads_and_it_begins_again(
    sentinel_group: SentinelGroup, store: Store, how: str
) -> None:
    primary = sentinel_group.primary
    primary.client.close()
    for _ in range(3):
        carry(store, how, store.load(store.key("h")))
        assert watchers() == 3
        store.close()
        eventually(lambda: watchers() == 0)
        assert connections_to(primary.port) == 0


def test_nothing_is_left_of_a_store_that_nobody_closed(
    sentinel_group: SentinelGroup, prefix: str
) -> None:
    gc.collect()
    before = open_files()
    for _ in range(3):
        store = open_store(sentinel_group.url, prefix=prefix, timeout=10)
        for how in ("sync", "async"):
            carry(store, how, store.load(store.key("h")))
        assert watchers() > 0
        del store
        gc.collect()
    eventually(lambda: watchers() == 0)
    eventually(lambda: open_files() <= before)


@BOTH
def test_a_forked_child_learns_by_itself(store: Store, how: str) -> None:
    key = store.key("h")
    carry(store, how, store.create(key, value(1), 60))

    def in_the_child() -> None:
        assert watchers() == 0
        inherited = open_files()
        for _ in range(20):
            assert carry(store, how, store.load(key)) == ENTRY
        assert watchers() == 3
        store.close()
        eventually(lambda: watchers() == 0)
        assert open_files() <= inherited

    with forked(in_the_child) as child:
        for _ in range(20):
            assert carry(store, how, store.load(key)) == ENTRY
    assert child.status == 0
    assert watchers() == 3
    assert all(each.failing == 0 for each in store.health())


@BOTH
def test_a_service_that_they_do_not_know(sentinel_group: SentinelGroup, how: str) -> None:
    url = sentinel_group.url.replace("mymaster", "another")
    refused(url, how, "watches no service named 'another'")


def refused(url: str, how: str, why: str) -> None:
    store = open_store(url, timeout=TIMEOUT)
    with Stopwatch(TIMEOUT), pytest.raises(StoreRefused, match=why):
        carry(store, how, store.load(store.key("h")))
    store.close()
    gc.collect()  # a connection that was left open is a ResourceWarning now, and not later


# -- TLS and passwords, which are not the same for servers and for sentinels --


@BOTH
def test_the_sentinels_password(guarded_sentinel_group: SentinelGroup, how: str) -> None:
    url = guarded_sentinel_group.url
    refused(url.replace("sentinel_password=", "sentinel_password=not+"), how, "password")
    refused(re.sub("sentinel_password=[^&]*&", "", url), how, "wants a password")


@BOTH
def test_the_servers_password(guarded_sentinel_group: SentinelGroup, how: str) -> None:
    refused(guarded_sentinel_group.url.replace("default:", "default:not"), how, "password")


@BOTH
def test_a_certificate_that_is_not_trusted(guarded_sentinel_group: SentinelGroup, how: str) -> None:
    url = guarded_sentinel_group.url.partition("&ca=")[0]
    refused(url, how, "TLS")


@BOTH
def test_sentinels_that_speak_tls_and_are_not_asked_to(
    guarded_sentinel_group: SentinelGroup, how: str
) -> None:
    url = guarded_sentinel_group.url.partition("&ca=")[0].replace("rediss", "redis")
    store = open_store(url, timeout=TIMEOUT)
    with Stopwatch(TIMEOUT), pytest.raises((StoreRefused, StoreUnavailable)):
        carry(store, how, store.load(store.key("h")))
    store.close()


@BOTH
def test_a_server_where_sentinels_should_be(sentinel_group: SentinelGroup, how: str) -> None:
    """And the other way round."""
    host, port = sentinel_group.primary.address
    refused(f"redis+sentinel://{host}:{port}/mymaster", how, "answered with an error")
    host, port = sentinel_group.sentinels[0].address
    refused(f"redis://{host}:{port}", how, "answered with an error")


def test_keys_of_the_primary(store: Store) -> None:
    assert isinstance(store, RedisStore)
    keys = {store.key(f"{number}") for number in range(20)}
    for key in keys:
        carry(store, "sync", store.create(key, value(1), 60))
    store.close()
    assert set(store.keys()) == keys
