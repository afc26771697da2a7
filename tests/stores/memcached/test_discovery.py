"""Auto Discovery in front of real servers: who joins, who leaves, and what becomes of sessions."""

from __future__ import annotations

import gc
import os
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from sessionstore.core.errors import OutcomeUnknown, StoreError, StoreRefused, StoreUnavailable
from sessionstore.core.verbs import Conflict, Deleted, Entry, Missing
from sessionstore.stores.base import NodeHealth
from sessionstore.stores.memcached import MemcachedStore
from sessionstore.testing.driving import value
from sessionstore.testing.lifecycle import forked, in_threads
from tests.stores.carrying import BOTH, carry
from tests.stores.memcached.conftest import PROTOCOLS, Bystander, memcached
from tests.stores.users import Load, Users, connections_to, open_files, watchers
from tests.support.configuration_endpoint import ConfigurationEndpoint, place
from tests.support.listeners import forwarding
from tests.support.memcached_servers import USER, MemcachedRing, MemcachedServer
from tests.support.scripted_topology import eventually

POLL = 0.02
"""Seconds: what takes a minute by default."""

Servers = tuple[MemcachedServer, ...]


@pytest.fixture
def servers(memcached_ring: MemcachedRing, memcached_tcp_server: MemcachedServer) -> Servers:
    """Four; who of them is named is up to the test."""
    return (*memcached_ring.servers, memcached_tcp_server)


@pytest.fixture
def endpoint(servers: Servers) -> Iterator[ConfigurationEndpoint]:
    """Names the first three."""
    with ConfigurationEndpoint() as endpoint:
        endpoint.name(*servers[:3])
        yield endpoint


@pytest.fixture
def store(endpoint: ConfigurationEndpoint, prefix: str) -> Iterator[MemcachedStore]:
    store = memcached(endpoint.discover_url(), prefix=prefix, timeout=10, poll=POLL)
    yield store
    store.close()
    eventually(lambda: watchers() == 0)


@pytest.fixture
def users(store: MemcachedStore, how: str) -> Iterator[Users]:
    users = Users(store, how)
    yield users
    users.close()


def filled(users: Users, store: MemcachedStore, count: int) -> dict[bytes, Entry]:
    """So many sessions, by their keys."""
    entries = {}
    for _ in range(count):
        key = store.key(os.urandom(8).hex())
        version = users(store.create(key, value(1, key), 60)).result(20)
        entries[key] = Entry(value(1, key), version)
    return entries


def found(users: Users, store: MemcachedStore, entries: dict[bytes, Entry]) -> dict[bytes, Entry]:
    """Those of them that are known, all as they should be."""
    loaded = {key: users(store.load(key)).result(20) for key in entries}
    known = {key: entry for key, entry in loaded.items() if entry is not None}
    assert known.items() <= entries.items()
    return known


def names(store: MemcachedStore) -> set[str]:
    """The servers that the store uses."""
    return set(store.servers())


def follow(store: MemcachedStore, endpoint: ConfigurationEndpoint, *now: Any) -> None:
    """Name these, and wait until the store knows."""
    endpoint.name(*now)
    expected = {f"{host}:{port}" for host, _, port in (text.split("|") for text in endpoint.nodes)}
    eventually(lambda: names(store) == expected)


def port_of(server: MemcachedServer) -> int:
    assert isinstance(server.address, tuple)
    return server.address[1]


def address(server: MemcachedServer) -> str:
    return f"127.0.0.1:{port_of(server)}"


def name_of(store: MemcachedStore, key: bytes) -> str:
    """Who has the key."""
    node = store._topology.node_for(key)
    assert node is not None
    return node.name


# -- joining and leaving --


@BOTH
def test_who_joins_takes_its_share_and_gives_it_back(
    servers: Servers, endpoint: ConfigurationEndpoint, store: MemcachedStore, users: Users
) -> None:
    entries = filled(users, store, 200)
    assert found(users, store, entries) == entries
    follow(store, endpoint, *servers)
    theirs = found(users, store, entries)
    lost = entries.keys() - theirs.keys()
    assert lost == {key for key in entries if name_of(store, key) == address(servers[3])}
    # A quarter, give or take what 160 points on a ring do: 0.02 to 0.6 of the keys is 12 sigma.
    assert 0.02 * len(entries) < len(lost) < 0.6 * len(entries)
    follow(store, endpoint, *servers[:3])
    assert found(users, store, entries) == entries, "nothing had been changed or copied"


@BOTH
def test_who_leaves_gives_its_share_away(
    servers: Servers, endpoint: ConfigurationEndpoint, store: MemcachedStore, users: Users
) -> None:
    entries = filled(users, store, 100)
    theirs = {key for key in entries if name_of(store, key) == address(servers[0])}
    follow(store, endpoint, *servers[1:3])
    assert found(users, store, entries).keys() == entries.keys() - theirs
    eventually(lambda: connections_to(port_of(servers[0])) == 0)


def test_under_load_nobody_gets_anything_wrong(
    servers: Servers, endpoint: ConfigurationEndpoint, store: MemcachedStore
) -> None:
    """Whoever writes and reads meanwhile gets their own session, none, or a typed error."""
    with Load(store) as load:
        for now in (servers, servers[1:], servers[1:3], servers[:3]) * 3:
            begun = time.monotonic()
            follow(store, endpoint, *now)
            eventually(lambda begun=begun: len(load.since(begun)) > 20)  # type: ignore[misc]
    assert all(isinstance(error, StoreUnavailable | OutcomeUnknown) for error in load.errors())
    # What a connection was cut off under. Nobody else notices.
    assert len(load.errors()) < len(load.done) / 10


@BOTH
def test_a_server_that_fails_is_asked_about_at_once(
    servers: Servers,
    endpoint: ConfigurationEndpoint,
    prefix: str,
    how: str,
    between: Bystander,
) -> None:
    """And not only a minute later; but at most once a second."""
    failing = between(servers[0])
    endpoint.name(f"127.0.0.1||{failing.port}", *servers[1:3])
    store = memcached(endpoint.discover_url(), prefix=prefix, timeout=5, poll=3600)
    key = next(
        key
        for key in (store.key(f"{number:016x}") for number in range(1000))
        if carry(store, how, store.load(key), 10) is None and name_of(store, key) == failing.address
    )
    before, began = endpoint.asked, time.monotonic()
    failing.fault = "reset"

    def works() -> bool:
        try:
            return carry(store, how, store.load(key), 0.03) is None
        except StoreUnavailable:
            return False

    assert not any(works() for _ in range(20))
    endpoint.name(*servers[1:])
    eventually(works, 4)  # less than the 5 seconds after which it asks by itself
    assert failing.address not in names(store)
    assert 1 <= endpoint.asked - before <= 2 + (time.monotonic() - began)
    store.close()


@BOTH
def test_a_server_with_another_address_gets_new_connections_and_keeps_its_keys(
    servers: Servers, endpoint: ConfigurationEndpoint, store: MemcachedStore, users: Users
) -> None:
    """As AWS replaces one: the same name, another address, and nothing in it."""
    places = [
        f"localhost|10.0.0.{number}|{port_of(server)}" for number, server in enumerate(servers)
    ]
    follow(store, endpoint, *places[:3])
    entries = filled(users, store, 60)
    ring = {key: store._topology.node_for(key) for key in entries}
    follow(store, endpoint, places[0].replace("10.0.0.0", "10.9.9.9"), *places[1:3])
    eventually(lambda: any(store._topology.node_for(key) is not ring[key] for key in ring))
    for key, node in ring.items():
        now = store._topology.node_for(key)
        assert node is not None
        assert now is not None
        assert now.name == node.name
        assert (now is node) == (node.endpoint.port != port_of(servers[0]))
    assert found(users, store, entries) == entries
    # An address that is not said is no other one; and nobody goes back to an older list.
    same = {key: store._topology.node_for(key) for key in entries}
    endpoint.name(places[0].replace("10.0.0.0", ""), *places[1:3])
    endpoint.heard()
    endpoint.name(*places[:3], version=1)
    endpoint.heard()
    assert {key: store._topology.node_for(key) for key in entries} == same


# -- what was ended stays ended --


@BOTH
@pytest.mark.parametrize("by_version", [True, False])
def test_what_was_ended_while_its_key_moved_does_not_come_back(
    servers: Servers,
    endpoint: ConfigurationEndpoint,
    store: MemcachedStore,
    users: Users,
    by_version: bool,
) -> None:
    """A request has loaded it; its delete goes to a server that has never heard of it."""
    entries = filled(users, store, 60)
    follow(store, endpoint, *servers)
    moved = entries.keys() - found(users, store, entries).keys()
    assert moved
    for key in moved:
        version = entries[key].version if by_version else None
        assert users(store.delete(key, version)).result(20) == Deleted()
        assert users(store.delete(key, version)).result(20) == Missing()
    follow(store, endpoint, *servers[:3])
    assert found(users, store, entries).keys() == entries.keys() - moved


@BOTH
def test_what_was_changed_elsewhere_is_a_conflict_and_not_deleted_unseen(
    servers: Servers, endpoint: ConfigurationEndpoint, store: MemcachedStore, users: Users
) -> None:
    """By a process that does not know yet: a login perhaps, which no older logout may end."""
    entries = filled(users, store, 60)
    behind = memcached(endpoint.discover_url(), prefix=store.prefix, timeout=10, poll=3600)
    carry(behind, "sync", behind.load(store.key("h")))
    follow(store, endpoint, *servers)
    key = (entries.keys() - found(users, store, entries).keys()).pop()
    newer = carry(behind, "sync", behind.replace(key, value(2), 60, entries[key].version))
    conflict = users(store.delete(key, entries[key].version)).result(20)
    assert conflict == Conflict(Entry(value(2), newer))
    assert users(store.delete(key, newer)).result(20) == Deleted()
    assert carry(behind, "sync", behind.load(key)) is None
    behind.close()


@BOTH
@pytest.mark.parametrize("lost", [False, True])
def test_a_delete_is_an_error_only_where_the_session_may_be_left(
    servers: Servers,
    endpoint: ConfigurationEndpoint,
    store: MemcachedStore,
    users: Users,
    how: str,
    between: Bystander,
    lost: bool,
) -> None:
    """Where it was found, it was; where nobody has it, it may be on the server that is away."""
    dead, entries = between(servers[1]), filled(users, store, 60)
    homes = {key: name_of(store, key) for key in entries}
    dead.fault = "reset"
    follow(store, endpoint, servers[0], f"127.0.0.1||{dead.port}", *servers[2:])
    wanted = {address(servers[1])} if lost else {address(servers[0]), address(servers[2])}
    key = next(
        key
        for key, home in homes.items()
        if home in wanted and name_of(store, key) == address(servers[3])
    )
    if lost:
        with pytest.raises(StoreUnavailable, match=dead.address):
            carry(store, how, store.delete(key, entries[key].version), 0.3)
    else:
        assert carry(store, how, store.delete(key, entries[key].version), 0.3) == Deleted()
        follow(store, endpoint, *servers[:3])
        assert users(store.load(key)).result(20) is None


# -- life and death --


@PROTOCOLS
@BOTH
def test_both_protocols(servers: Servers, prefix: str, how: str, protocol: str) -> None:
    with ConfigurationEndpoint(protocol) as endpoint:
        endpoint.name(*servers)
        store = memcached(endpoint.discover_url(), prefix=prefix, timeout=10)
        key = store.key("h")
        version = carry(store, how, store.create(key, value(1), 60))
        assert carry(store, how, store.load(key)) == Entry(value(1), version)
        assert carry(store, how, store.server()).startswith("memcached 1.")
        assert sorted(store.servers()) == sorted(names(store))
        health = [NodeHealth(f"127.0.0.1:{endpoint.port}", "configuration endpoint", True, True)]
        assert [node for node in store.health() if node.role != "primary"] == health
        store.close()


def test_many_come_at_once(store: MemcachedStore) -> None:
    def use(number: int) -> None:
        if number < 16:
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
            assert [users(store.load(key)).result(20).value[13:] for key in keys] == keys
            users.close()

    in_threads(18, use)
    carry(store, "sync", store.load(store.key("h")))
    eventually(lambda: watchers() == 1)


@BOTH
def test_a_forked_child_follows_by_itself(
    servers: Servers, endpoint: ConfigurationEndpoint, store: MemcachedStore, how: str
) -> None:
    keys = [store.key(f"{number:016x}") for number in range(8)]
    for key in keys:
        carry(store, how, store.create(key, value(1, key), 60))

    def in_the_child() -> None:
        assert watchers() == 0
        for key in keys:
            entry = carry(store, how, store.load(key))
            assert entry is None or entry.value[13:] == key
        assert watchers() == 1
        eventually(lambda: len(names(store)) == 4)
        store.close()
        eventually(lambda: watchers() == 0)

    with forked(in_the_child) as child:
        follow(store, endpoint, *servers)
    assert child.status == 0
    assert watchers() == 1


@BOTH
def test_closing_ends_the_thread_and_it_begins_again(
    servers: Servers, endpoint: ConfigurationEndpoint, store: MemcachedStore, how: str
) -> None:
    for number in range(3):
        carry(store, how, store.load(store.key("h")))
        assert watchers() == 1
        store.close()
        eventually(lambda: watchers() == 0)
        endpoint.name(*servers[: number + 2])
    carry(store, how, store.load(store.key("h")))
    eventually(lambda: len(names(store)) == 4)


def test_nothing_is_left_of_a_store_that_nobody_closed(
    endpoint: ConfigurationEndpoint, prefix: str
) -> None:
    gc.collect()
    before = open_files()
    for _ in range(3):
        store = memcached(endpoint.discover_url(), prefix=prefix, timeout=10, poll=POLL)
        for how in ("sync", "async"):
            carry(store, how, store.load(store.key("h")))
        del store
        gc.collect()
    eventually(lambda: watchers() == 0)
    eventually(lambda: open_files() <= before)


# -- TLS --


@BOTH
def test_tls_to_the_endpoint_and_to_the_servers(
    memcached_tls_server: MemcachedServer, prefix: str, how: str
) -> None:
    """And the password goes to the servers alone, for the endpoint does not ask."""
    files = memcached_tls_server.certificates
    assert files is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    login = memcached_tls_server.url.removeprefix("memcacheds://").partition("@")[0]
    options: dict[str, Any] = {"ca": str(files.ca), "prefix": prefix, "auth_optional": True}
    with ConfigurationEndpoint(tls=context) as endpoint:
        endpoint.name(place(memcached_tls_server, "localhost"))
        for scheme, name, why in (
            ("memcacheds+discover", "localhost", None),
            ("memcacheds+discover", "127.0.0.2", "TLS: "),
        ):
            with forwarding("127.0.0.2", endpoint.port) as other:
                port = endpoint.port if name == "localhost" else other
                url = f"{scheme}://{login}@{name}:{port}?protocol=meta"
                store = memcached(url, timeout=10, **options)
                if why is None:
                    key = store.key("h")
                    version = carry(store, how, store.create(key, value(1), 60))
                    assert carry(store, how, store.load(key)) == Entry(value(1), version)
                else:
                    refused(store, how, why)
                store.close()
        # The servers' names are verified as well.
        endpoint.name(place(memcached_tls_server, "localhost.localdomain"))
        store = memcached(
            f"memcacheds+discover://{login}@localhost:{endpoint.port}?protocol=meta",
            timeout=10,
            **options,
        )
        with pytest.raises(StoreError):
            carry(store, how, store.load(store.key("h")), 1)
        store.close()
    assert quote(USER).encode() not in endpoint.said


def refused(store: MemcachedStore, how: str, why: str) -> None:
    with pytest.raises(StoreRefused, match=why):
        carry(store, how, store.load(store.key("h")))
