"""What a real server does at its limits, and that it is kept from doing harm there."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sessionstore.core.errors import (
    SessionTooLarge,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.verbs import Entry, Exists
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch
from tests.stores.memcached.conftest import PROTOCOLS, READY, MakeRunner, Runner
from tests.support.memcached_servers import MemcachedServer, run_memcached
from tests.support.scripted_memcached import Asked, ScriptedMemcached


def url(server: MemcachedServer, protocol: str) -> str:
    return f"{server.url}?protocol={protocol}"


@pytest.fixture(scope="module")
def small() -> Iterator[MemcachedServer]:
    """A server of items of 128 KiB at most."""
    with run_memcached("-I", "128k", "-o", "slab_chunk_max=65536") as server:
        yield server


@pytest.fixture(scope="module")
def full() -> Iterator[MemcachedServer]:
    """A server that has no room left, and does not evict."""
    with run_memcached("-M", "-m", "4", "-t", "1") as server:
        yield server


def largest(run: Runner, item_size: int) -> int:
    """The size of the largest value that is sent: found by asking, not by computing it here."""
    key, size = run.store.key("largest"), item_size
    while True:
        try:
            run(run.store.create(key, bytes(size), 60), READY)
        except SessionTooLarge as error:
            size = min(size - 1, error.limit)
        else:
            return size


@BOTH
@PROTOCOLS
def test_the_largest_item_that_is_sent_is_one_that_the_server_takes(
    memcached_server: MemcachedServer, running: MakeRunner, how: str, protocol: str
) -> None:
    run = running(url(memcached_server, protocol), how, timeout=READY)
    size = largest(run, 1 << 20)
    assert (1 << 20) - 150 < size < 1 << 20
    entry = run(run.store.load(run.store.key("largest")), READY)
    assert entry is not None
    assert len(entry.value) == size


@BOTH
@PROTOCOLS
def test_the_servers_own_limit_counts_and_the_old_session_stays(
    small: MemcachedServer, running: MakeRunner, how: str, protocol: str
) -> None:
    run = running(url(small, protocol), how, timeout=READY)
    key = run.store.key("h")
    version = run(run.store.create(key, value(1), 60))
    assert not isinstance(version, Exists)
    for _ in range(2):
        with pytest.raises(SessionTooLarge, match="exceeds the limit of 130"):
            run(run.store.replace(key, value(2, bytes(128 * 1024)), 60, version))
    assert run(run.store.load(key)) == Entry(value(1), version)
    # It is no fault of the connection.
    assert run.store.connections == (1 if how == "sync" else 0)
    assert largest(run, 128 * 1024) > 130_000


@BOTH
@PROTOCOLS
def test_a_server_that_does_not_tell_its_limit(
    how: str, protocol: str, running: MakeRunner
) -> None:
    """As managed services may: 1 MiB is what servers have unless they were told otherwise."""

    def answer(asked: Asked) -> bytes:
        if asked.name == "noop":
            return server.said_yes(asked)
        if asked.name == "get":
            return b"EN\r\n"
        if asked.name == "stats":
            return b"ERROR\r\n" if protocol == "meta" else server.packet(asked, 0x81)
        # Smaller than thought: and what was there is gone.
        if protocol == "meta":
            return b"SERVER_ERROR object too large for cache\r\n"
        return server.packet(asked, 3)

    with ScriptedMemcached(protocol, answer, greeting=False) as server:
        run = running(server.url(), how)
        with pytest.raises(SessionTooLarge):
            run(run.store.create(run.store.key("h"), bytes(1 << 20), 60))
        with pytest.raises(StoreRefused, match="is deleted"):
            run(run.store.create(run.store.key("h"), bytes(1000), 60))


@BOTH
@PROTOCOLS
def test_a_full_server_that_does_not_evict(
    full: MemcachedServer, running: MakeRunner, how: str, protocol: str
) -> None:
    run = running(url(full, protocol), how, timeout=READY)
    keys = [run.store.key(f"{number:016x}") for number in range(100)]
    body = bytes(300_000)

    def fill() -> None:
        for key in keys:
            run(run.store.create(key, value(1, body), 60))

    with pytest.raises(StoreFull, match="out of memory"):
        fill()
    assert run(run.store.load(keys[-1])) is None
    for key in keys:
        run(run.store.delete(key))


@BOTH
@PROTOCOLS
def test_a_server_without_cas_is_refused(running: MakeRunner, how: str, protocol: str) -> None:
    """Two requests at once would overwrite each other, and nobody would know."""
    with run_memcached("-C") as server:
        run = running(url(server, protocol), how, timeout=READY)
        with pytest.raises(StoreRefused, match=r"without CAS \(-C\)"):
            run(run.store.create(run.store.key("h"), value(1), 60))


@BOTH
@PROTOCOLS
def test_a_server_with_no_free_connection(running: MakeRunner, how: str, protocol: str) -> None:
    with run_memcached("-c", "20", "-t", "1") as server:
        hogs = [running(server.url, "sync", timeout=READY) for _ in range(40)]

        def take_all() -> None:
            for hog in hogs:
                hog(hog.store.load(hog.store.key("h")), 0.5)

        with pytest.raises(StoreUnavailable):
            take_all()
        run = running(url(server, protocol), how, timeout=0.5)
        with Stopwatch(0.5), pytest.raises(StoreUnavailable):
            # A write: nothing of it was sent.
            run(run.store.create(run.store.key("h"), value(1), 60))
        for hog in hogs:
            hog.store.close()
        assert run(run.store.load(run.store.key("h")), READY) is None


@BOTH
@PROTOCOLS
def test_a_crowded_server_says_so(running: MakeRunner, how: str, protocol: str) -> None:
    crowded = b"ERROR Too many open connections\r\n"
    with ScriptedMemcached(protocol, crowded, greeting=False) as server:
        run = running(server.url(), how)
        with Stopwatch(0.5), pytest.raises(StoreUnavailable, match="no free connection"):
            run(run.store.create(run.store.key("h"), value(1), 60))
        assert len(server.requests) > 1, "and is asked again"


@BOTH
@PROTOCOLS
def test_what_expires_late_enough_is_told_as_a_time(
    running: MakeRunner, how: str, protocol: str
) -> None:
    def answer(asked: Asked) -> bytes:
        return server.stored(asked)

    with ScriptedMemcached(protocol, answer) as server:
        run = running(server.url(), how)
        for ttl in (60, 31 * 86400):
            run(run.store.create(run.store.key("h"), value(1), ttl))
    short, long = (asked.expiry for asked in server.requests)
    assert short == 61
    assert long == pytest.approx(time.time() + 31 * 86400, abs=60)


def test_an_evicted_session_is_an_unknown_one(running: MakeRunner) -> None:
    """And nothing else: no error, and no other session's data."""
    with run_memcached("-m", "2", "-I", "1m", "-t", "1") as server:
        run = running(server.url, "sync", timeout=READY)
        keys = [run.store.key(f"{number:016x}") for number in range(60)]
        versions = [run(run.store.create(key, value(1, key * 4000), 60)) for key in keys]
        found = [run(run.store.load(key)) for key in keys]
        assert found.count(None) > 0
        for key, entry, version in zip(keys, found, versions, strict=True):
            assert entry in (None, Entry(value(1, key * 4000), version))  # type: ignore[arg-type]
