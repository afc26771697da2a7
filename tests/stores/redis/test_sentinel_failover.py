"""Failovers by real sentinels, with threads and tasks at work meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from sessionstore.core.errors import OutcomeUnknown, StoreUnavailable
from sessionstore.core.verbs import Entry
from sessionstore.stores.base import Store
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, SLACK, carry, revived
from tests.stores.users import Load, Users, connections_to
from tests.support.redis_topologies import SentinelGroup, run_sentinel
from tests.support.scripted_topology import eventually

pytestmark = pytest.mark.once

TIMEOUT = 0.5


@pytest.fixture
def group() -> Iterator[SentinelGroup]:
    """One of the test's own: until all is well again, a shared one would take 10 to 20 seconds."""
    with run_sentinel() as group:
        yield group


@pytest.fixture
def store(group: SentinelGroup, prefix: str) -> Iterator[Store]:
    store = open_store(group.url, prefix=prefix, timeout=TIMEOUT)
    yield store
    store.close()


def check_errors(load: Load) -> None:
    """Typed, and by their deadline: one for the write, one for the read."""
    for each in load.done:
        assert each.ended - each.began < 2 * TIMEOUT + SLACK
        assert isinstance(each.error, StoreUnavailable | OutcomeUnknown | None), each.error


def acknowledged(load: Load, client: redis.Redis, since: float) -> None:
    """What was acknowledged since then is there."""
    for each in load.since(since):
        if each.error is None:
            assert client.exists(each.key)


def works_within(load: Load, since: float, seconds: float) -> None:
    """Threads and tasks alike: 20 sessions without an error, the first of them by then."""
    eventually(lambda: sum(each.error is None for each in load.since(since)) > 20)
    assert min(each.ended for each in load.since(since) if each.error is None) < since + seconds
    assert [each.error for each in load.since(since + seconds) if each.error] == []


def test_a_killed_primary(group: SentinelGroup, store: Store) -> None:
    old = group.primary
    with Load(store) as load:
        eventually(lambda: len(load.done) > 20)
        assert load.errors() == []
        group.kill(old)
        new = group.wait_for_failover(old)
        promoted = time.monotonic()
        works_within(load, promoted, 1 + SLACK)
        time.sleep(0.3)
    check_errors(load)
    acknowledged(load, group.client(new), promoted)
    assert [(each.node, each.available) for each in store.health() if each.role == "primary"] == [
        (f"127.0.0.1:{new.port}", True)
    ]


def test_a_frozen_primary_that_wakes(group: SentinelGroup, store: Store, prefix: str) -> None:
    """What is sent to it, it will answer, as if it were the primary still."""
    old = group.primary
    idle = open_store(group.url, prefix=prefix, timeout=10)
    durable = open_store(group.url, prefix=prefix, timeout=TIMEOUT, durable="all")
    parked = [Users(idle, "sync"), Users(idle, "async"), Users(durable, "async")]
    for users in parked:
        assert users(idle.load(idle.key("h"))).result(20) is None
    group.client(old).close()
    with Load(store) as load, Load(durable, threads=1, tasks=2) as durables:
        eventually(lambda: min(len(load.done), len(durables.done)) > 20)
        assert load.errors() == durables.errors() == []
        group.freeze(old)
        new = group.wait_for_failover(old)
        promoted = time.monotonic()
        # All connections are gone, those also that nobody has used for a while.
        eventually(lambda: connections_to(old.port) == 0, 1 + SLACK)
        group.thaw(old)
        for users_of in (load, durables):
            works_within(users_of, promoted, 1 + SLACK)
        eventually(lambda: time.monotonic() > promoted + 1.5)
    check_errors(load)
    for users_of in (load, durables):
        acknowledged(users_of, group.client(new), promoted)
    for users in parked:
        users.close()
    idle.close()
    durable.close()


def test_a_planned_failover_loses_nothing(group: SentinelGroup, store: Store) -> None:
    old = group.primary
    with Load(store) as load:
        eventually(lambda: len(load.done) > 20)
        before = [each.key for each in load.done]
        new = group.failover()
        promoted = time.monotonic()
        assert new is not old
        works_within(load, promoted, 1 + SLACK)
    check_errors(load)
    assert group.client(new).exists(*before) == len(before)
    acknowledged(load, group.client(new), promoted)


def test_a_primary_that_became_a_replica(group: SentinelGroup, store: Store) -> None:
    """By hand, without the sentinels: until it is undone there is none."""
    key = store.key("h")
    both = [Users(store, "sync"), Users(store, "async")]
    for users in both:
        assert users(store.create(key, value(1), 60)).result(20) is not None
    primary = group.primary
    client = group.client(primary)
    client.replicaof("127.0.0.1", str(group.replicas[0].port))
    try:
        for users in both:
            with pytest.raises(StoreUnavailable, match=r"READONLY|not the primary"):
                users(store.create(store.key("new"), value(1), 60)).result(20)
            # It asks whom it has reached before it sends anything on a new connection.
            with pytest.raises(StoreUnavailable, match="not the primary"):
                users(store.load(key)).result(20)
    finally:
        client.replicaof("NO", "ONE")
    eventually(lambda: client.info("replication")["role"] == "master")
    assert revived(store, "sync", lambda: store.load(key)) is not None
    for number, users in enumerate(both):
        users(store.create(store.key(f"new{number}"), value(1), 60)).result(20)
        users.close()


@BOTH
def test_a_sentinel_that_hangs(sentinel_group: SentinelGroup, prefix: str, how: str) -> None:
    """From the start, and while it is followed."""
    group = sentinel_group
    sentinel = group.sentinels[0]
    warm = open_store(group.url, prefix=prefix, timeout=TIMEOUT)
    carry(warm, how, warm.create(warm.key("h"), value(1), 60), 10)
    sentinel.freeze()
    try:
        cold = open_store(group.url, prefix=prefix, timeout=TIMEOUT)
        for store in (cold, warm):
            assert carry(store, how, store.load(store.key("h"))) == Entry(value(1), value(1)[1:13])
        eventually(lambda: any(each.failing for each in warm.health()))
        (failing,) = [each for each in warm.health() if each.failing]
        assert (failing.node, failing.role) == (f"127.0.0.1:{sentinel.port}", "sentinel")
        assert "no reply in time" in str(failing.error)
        cold.close()
    finally:
        sentinel.thaw()
    eventually(lambda: not any(each.failing for each in warm.health()))
    warm.close()
