"""``copies=2`` on real servers: whichever of them is lost, nobody is logged out."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionstore import SessionConfig, SessionManager
from sessionstore.core.errors import (
    ConfigurationError,
    NotReplicated,
    OutcomeUnknown,
    StoreError,
)
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import Conflict, Deleted, Entry, Missing
from sessionstore.stores.memcached import MemcachedStore, membership
from sessionstore.stores.memcached.items import Item, Kind
from sessionstore.stores.memcached.messages import Request
from tests.stores.carrying import BOTH, carry
from tests.stores.memcached.conftest import memcached
from tests.stores.memcached.test_failover import (
    AFTER,
    QUICK,
    name_of,
    settled,
    until_a_later_second,
    until_in,
    until_known,
    until_left_out,
)
from tests.support.children import Child
from tests.support.memcached_servers import (
    MemcachedRing,
    MemcachedServer,
    run_memcached_ring,
    run_memcached_tcp,
)

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "memcached.md"


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "PACE", QUICK)


@dataclass
class Servers:
    """Three that a test may kill, and start again."""

    ring: MemcachedRing
    prefix: str
    directory: Path
    stack: ExitStack
    children: dict[str, Child] = field(default_factory=dict)

    def open(self, **options: Any) -> MemcachedStore:
        options = {"copies": 2, "failover_after": AFTER, "timeout": 1.0, **options}
        store = memcached(self.ring.url, prefix=self.prefix, **options)
        self.stack.callback(store.close)
        return store

    def order(self, store: MemcachedStore, key: bytes) -> list[MemcachedServer]:
        """A key's servers: its home's, its copy's, and the other one."""
        by_name = {name_of(server): server for server in self.ring.servers}
        return [by_name[node.name] for node in store._topology.walk(key)]

    def item(self, server: MemcachedServer, key: bytes) -> Item | None:
        """What one server has."""
        alone = memcached(server.url, prefix=self.prefix)
        entry = carry(alone, "sync", alone.load(key))
        alone.close()
        return None if entry is None else Item.unpack(entry)

    def evict(self, server: MemcachedServer, key: bytes) -> None:
        alone = memcached(server.url, prefix=self.prefix)
        assert carry(alone, "sync", alone.delete(key)) == Deleted()
        alone.close()

    def kill(self, server: MemcachedServer) -> None:
        end(self.children.get(server.url, server.child))

    def start(self, server: MemcachedServer) -> None:
        until_a_later_second()
        child = Child(server.child.command, self.directory)
        self.children[server.url] = child
        self.stack.callback(end, child)


def end(child: Child) -> None:
    child.process.kill()  # asked politely, it takes a second
    child.process.wait()


@pytest.fixture
def servers(prefix: str, tmp_path: Path) -> Iterator[Servers]:
    with ExitStack() as stack:
        ring = stack.enter_context(run_memcached_ring(3))
        for server in ring.servers:
            stack.callback(end, server.child)
        yield Servers(ring, prefix, tmp_path, stack)


def new_key(store: MemcachedStore) -> bytes:
    return store.key(os.urandom(8).hex())


def record(value: bytes) -> bytes:
    return b"\x01" + value


@pytest.mark.once
@BOTH
def test_the_home_is_lost_and_comes_back_empty(servers: Servers, how: str) -> None:
    store, other = servers.open(), servers.open()
    key, ended = new_key(store), new_key(store)
    lost, second, third = servers.order(store, key)
    while servers.order(store, ended) != [lost, second, third]:
        ended = new_key(store)
    for one in (key, ended):
        carry(store, how, store.create(one, record(b"0"), 60))
    assert carry(other, how, other.load(key)) is not None
    servers.kill(lost)

    entry: Entry = settled(store, how, partial(store.load, key))
    assert entry.value == record(b"0")
    version = settled(store, how, partial(store.replace, key, record(b"1"), 60, entry.version))
    assert not isinstance(version, Conflict | Missing)
    found = settled(other, how, partial(other.load, key))
    assert found == Entry(record(b"1"), version)
    assert settled(other, how, lambda: other.delete(ended)) == Deleted()
    assert carry(store, how, store.load(ended)) is None
    assert [servers.item(each, key) is not None for each in (second, third)] == [True, True]

    servers.start(lost)
    for each in (store, other):
        until_in(each, lost)
        assert settled(each, how, partial(each.load, ended)) is None
        assert carry(each, how, each.load(key)) == found
    again = new_key(store)
    while servers.order(store, again)[1] is not lost:
        again = new_key(store)
    carry(store, how, store.create(again, record(b"2"), 60))
    copy = servers.item(lost, again)
    assert copy is not None
    assert copy.kind is Kind.COPY


def test_a_logout_that_finds_nothing_bars_what_a_slow_save_still_holds(servers: Servers) -> None:
    """Both items were evicted, and a save that had written its home would make a copy."""
    store = servers.open()
    key = new_key(store)
    assert isinstance(carry(store, "sync", store.delete(key)), Missing)
    found = [servers.item(server, key) for server in servers.order(store, key)]
    assert [item.kind for item in found if item is not None] == [Kind.GONE] * 3


@BOTH
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_copy_that_has_ended_does_not_stand_in_the_way_of_a_logout(
    servers: Servers, how: str, place: int
) -> None:
    """Its server still has it, because that one's clock is behind."""
    store = servers.open()
    key = new_key(store)
    server = servers.order(store, key)[place]
    alone = memcached(server.url, prefix=servers.prefix)
    ended = Item(Kind.COPY, 0, 1, 0, int(time.time()) - 1, record(b"0"))
    carry(alone, "sync", alone.create(key, ended.pack(), 60))
    alone.close()
    assert carry(store, how, store.load(key)) is None
    assert carry(store, how, store.delete(key, 1)) == Missing()
    assert carry(store, how, store.delete(key)) == Missing()
    assert carry(store, how, store.load(key)) is None


@pytest.mark.once
def test_restarted_one_after_the_other(servers: Servers) -> None:
    """With every session rewritten in between, nobody is logged out."""
    store, other = servers.open(), servers.open()
    keys = [new_key(store) for _ in range(12)]
    for key in keys:
        carry(store, "sync", store.create(key, record(b"0"), 60))
    carry(other, "sync", other.load(keys[0]))
    until_known(store)
    until_known(other)
    for turn, server in enumerate(servers.ring.servers):
        servers.kill(server)
        until_left_out(store, server)
        servers.start(server)
        until_in(store, server)
        until_in(other, server)
        for key in keys:
            entry = settled(other, "sync", partial(other.load, key))
            assert entry is not None
            assert entry.value == record(b"%d" % turn)
            value = record(b"%d" % (turn + 1))
            assert not isinstance(
                carry(other, "sync", other.replace(key, value, 60, entry.version)),
                Conflict | Missing,
            )


@BOTH
def test_one_of_the_two_items_is_evicted(servers: Servers, how: str) -> None:
    store = servers.open()
    key = new_key(store)
    home, copy, _ = servers.order(store, key)
    carry(store, how, store.create(key, record(b"0"), 60))
    servers.evict(copy, key)
    entry = carry(store, how, store.load(key))
    assert entry is not None
    carry(store, how, store.replace(key, record(b"1"), 60, entry.version))
    there = servers.item(copy, key)
    assert there is not None
    assert there.record == record(b"1")

    entry = carry(store, how, store.load(key))
    assert entry is not None
    servers.evict(home, key)
    conflict = carry(store, how, store.replace(key, record(b"2"), 60, entry.version))
    assert isinstance(conflict, Conflict)
    assert conflict.entry.value == record(b"1")
    version = carry(store, how, store.replace(key, record(b"2"), 60, conflict.entry.version))
    assert not isinstance(version, Conflict | Missing)
    assert carry(store, how, store.load(key)) == Entry(record(b"2"), version)
    kinds = [item and item.kind for item in (servers.item(each, key) for each in (home, copy))]
    assert kinds == [Kind.COPY, Kind.HOME]

    assert carry(store, how, store.delete(key)) == Deleted()
    servers.evict(home, key)
    assert carry(store, how, store.load(key)) is None
    assert carry(store, how, store.replace(key, record(b"3"), 60, version)) == Missing()


@BOTH
def test_a_session_from_before(servers: Servers, how: str) -> None:
    """It is read, and gets its copy when it is written."""
    before, store = servers.open(copies=1, failover="next"), servers.open()
    key = new_key(store)
    home, copy, _ = servers.order(store, key)
    carry(before, how, before.create(key, record(b"0"), 60))
    entry = carry(store, how, store.load(key))
    assert entry is not None
    assert entry.value == record(b"0")
    carry(store, how, store.replace(key, record(b"1"), 60, entry.version))
    items = [servers.item(each, key) for each in (home, copy)]
    assert [(item.kind, item.record) for item in items if item] == [
        (Kind.HOME, record(b"1")),
        (Kind.COPY, record(b"1")),
    ]


@BOTH
def test_two_writers_at_once(servers: Servers, how: str) -> None:
    stores = [servers.open(timeout=10), servers.open(timeout=10)]
    key = new_key(stores[0])
    carry(stores[0], how, stores[0].create(key, record(b"0"), 60))

    def count(store: MemcachedStore) -> None:
        for _ in range(25):
            entry = carry(store, how, store.load(key))
            while True:
                assert entry is not None
                value = record(b"%d" % (int(entry.value[1:]) + 1))
                result = carry(store, how, store.replace(key, value, 60, entry.version))
                if not isinstance(result, Conflict):
                    break
                entry = result.entry

    threads = [threading.Thread(target=count, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items = [servers.item(each, key) for each in servers.order(stores[0], key)[:2]]
    assert [item.record for item in items if item] == [record(b"50")] * 2


@pytest.mark.once
@BOTH
def test_the_copys_server_is_dead(servers: Servers, how: str) -> None:
    store = servers.open(failover_after=60, timeout=0.5)
    key = new_key(store)
    copy = servers.order(store, key)[1]
    settled(store, how, partial(store.load, key))  # the servers are known
    version = carry(store, how, store.create(key, record(b"0"), 60))
    servers.kill(copy)
    with pytest.raises(NotReplicated, match="the copy was not written") as caught:
        carry(store, how, store.replace(key, record(b"1"), 60, version))  # type: ignore[arg-type]
    entry = carry(store, how, store.load(key))
    assert entry == Entry(record(b"1"), caught.value.result)
    with pytest.raises(OutcomeUnknown, match="destroyed on one server"):
        carry(store, how, store.delete(key, entry.version))
    # What half of it knows is not told as if all did.
    with pytest.raises(StoreError):
        carry(store, how, store.load(key))


@pytest.mark.once
def test_what_a_session_manager_makes_of_that(servers: Servers) -> None:
    store, reports = servers.open(failover_after=60, timeout=0.5), list[str]()
    config = SessionConfig(secret_key="k" * 32)
    manager = SessionManager(store, config, on_report=lambda what, _: reports.append(what))
    settled(store, "sync", partial(store.load, new_key(store)))  # the servers are known
    session = manager.open(None)
    session["a"] = 1
    cookie = manager.commit(session)
    assert cookie is not None
    assert session.handle is not None
    servers.kill(servers.order(store, store.key(session.handle))[1])
    session = manager.open(cookie.value)
    session["a"] = 2
    manager.commit(session)
    assert reports == ["not_replicated"]
    session = manager.open(cookie.value)
    assert session["a"] == 2
    session.logout()
    with pytest.raises(StoreError):
        manager.commit(session)


@BOTH
def test_a_copy_that_its_server_would_not_take(how: str, prefix: str) -> None:
    """It takes smaller items than the home's, as while that is being changed on one after the
    other. The write is at home: it must not be told that nothing was stored."""
    with ExitStack() as stack:
        small = ("-I", "128k", "-o", "slab_chunk_max=65536")
        servers = [stack.enter_context(run_memcached_tcp(*options)) for options in ((), small)]
        hosts = ",".join(server.url.removeprefix("memcached://") for server in servers)
        store = memcached(f"memcached://{hosts}?copies=2", prefix=prefix, timeout=5)
        stack.callback(store.close)
        settled(store, how, partial(store.load, new_key(store)))
        key = new_key(store)
        while next(iter(store._topology.walk(key))).name != name_of(servers[0]):
            key = new_key(store)
        version = carry(store, how, store.create(key, record(b"0"), 60))
        large = record(bytes(200_000))
        with pytest.raises(NotReplicated, match="exceeds the limit"):
            carry(store, how, store.replace(key, large, 60, version))  # type: ignore[arg-type]
        assert carry(store, how, store.load(key)).value == large
        assert carry(store, how, store.delete(key)) == Deleted()
        with pytest.raises(NotReplicated, match="exceeds the limit"):
            carry(store, how, store.create(key, large, 60))


def test_a_count_that_is_full_is_no_error(servers: Servers) -> None:
    """Whoever reaches an open server may have put it there."""
    store = servers.open()
    key = new_key(store)
    home = servers.order(store, key)[0]
    alone = memcached(home.url, prefix=servers.prefix)
    full = Item(Kind.HOME, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, record(b"0"))
    carry(alone, "sync", alone.create(key, full.pack(), 60))
    entry = carry(store, "sync", store.load(key))
    assert entry is not None
    carry(store, "sync", store.replace(key, record(b"1"), 60, entry.version))
    alone.close()


# -- what it costs --


class Counting:
    """Runs flows and counts their commands, but for the looks at what the process knows."""

    def __init__(self, store: MemcachedStore) -> None:
        self.store = store
        self.sent: list[Request] = []

    def __call__(self, flow: Flow[Any]) -> int:
        self.sent = []
        self.result = carry(self.store, "sync", self._counted(flow))
        return len(self.sent)

    def _counted(self, flow: Flow[Any]) -> Flow[Any]:
        def note(command: Command[Any]) -> Command[Any]:
            if isinstance(command.request, Request):
                self.sent.append(command.request)
            return command

        command = note(next(flow))
        while True:
            try:
                command = note(flow.send((yield command)))
            except StopIteration as stop:
                return stop.value


def documented() -> dict[str, int]:
    """The table of commands; with three servers."""
    text = DOCUMENTATION.read_text().partition("### Two copies")[2].partition("\n- ")[0]
    rows = re.findall(r"^\| ([a-z].*?) \| ([0-9]+)(.*?) \|$", text, re.MULTILINE)
    each = {
        name: int(number) + 3 * ("and one for each server" in rest) for name, number, rest in rows
    }
    return {name.strip(): number for names, number in each.items() for name in names.split(",")}


def test_its_commands_are_as_documented(servers: Servers) -> None:
    counting = Counting(store := servers.open(timeout=10))
    key = new_key(store)
    expected = documented()
    assert counting(store.load(key)) == 3 == expected["load of a session that does not exist"]
    assert counting(store.create(key, record(b"0"), 60)) == expected["create"]
    assert counting(store.load(key)) == expected["load"]
    entry = counting.result
    assert counting(store.replace(key, record(b"1"), 60, entry.version)) == expected["save"]
    assert counting(store.replace(key, record(b"2"), 60, entry.version)) == expected["conflict"]
    assert counting(store.load(key)) == 1
    logout = 1 + counting(store.delete(key, counting.result.version))
    assert logout == expected["logout"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("copies=3", "copies=3: 1 or 2"),
        ("copies=2&failover=error", "leave out error"),
        ("copies=2&timeout=31", "timeout= must not exceed"),
    ],
)
def test_what_does_not_fit_together(options: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        memcached(f"memcached://a,b?{options}")
