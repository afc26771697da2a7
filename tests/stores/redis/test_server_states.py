"""What a real server says in real trouble."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis

from sessionstore.core.errors import OutcomeUnknown, StoreFull, StoreRefused, StoreUnavailable
from sessionstore.core.verbs import Conflict, Entry, Exists, Missing
from sessionstore.stores.base import Store
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry, revived
from tests.support.children import StartError
from tests.support.servers import RedisServer, run_redis

TIMEOUT = 0.8


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """One that these tests may bring into trouble."""
    with run_redis() as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client


@pytest.fixture
def store(server: RedisServer, prefix: str) -> Iterator[Store]:
    store = open_store(server.url, prefix=prefix, timeout=TIMEOUT)
    yield store
    store.close()


@pytest.fixture
def key(store: Store) -> bytes:
    """Of a session that is there."""
    key = store.key("h")
    assert carry(store, "sync", store.create(key, value(1), 600), 10) != Exists()
    # The scripts are known to the server.
    carry(store, "sync", store.replace(store.key("none"), value(1), 60, value(1)[1:13]), 10)
    carry(store, "sync", store.delete(store.key("none"), value(1)[1:13]), 10)
    return key


def works(store: Store, how: str, key: bytes) -> None:
    """Also after whatever happened."""
    assert revived(store, how, lambda: store.load(key)) == Entry(value(1), value(1)[1:13])
    result = carry(store, how, store.replace(key, value(2), 600, value(1)[1:13]), 10)
    assert not isinstance(result, Conflict | Missing)


def writes_are_refused(store: Store, how: str, key: bytes, kind: type[Exception]) -> None:
    for flow in (
        store.create(store.key("new"), value(1), 60),
        store.replace(key, value(2), 60, value(1)[1:13]),
    ):
        with Stopwatch(TIMEOUT), pytest.raises(kind):
            carry(store, how, flow)
    # Reads go on.
    assert carry(store, how, store.load(key), 10) == Entry(value(1), value(1)[1:13])


@BOTH
def test_out_of_memory(store: Store, client: redis.Redis, key: bytes, how: str) -> None:
    client.config_set("maxmemory", 1)
    try:
        writes_are_refused(store, how, key, StoreFull)
    finally:
        client.config_set("maxmemory", 0)
    works(store, how, key)


@BOTH
def test_too_few_replicas(store: Store, client: redis.Redis, key: bytes, how: str) -> None:
    client.config_set("min-replicas-to-write", 1)
    try:
        writes_are_refused(store, how, key, StoreFull)
    finally:
        client.config_set("min-replicas-to-write", 0)
    works(store, how, key)


@BOTH
def test_a_replica(store: Store, client: redis.Redis, key: bytes, how: str) -> None:
    client.replicaof("127.0.0.1", 1)
    try:
        writes_are_refused(store, how, key, StoreUnavailable)
    finally:
        client.replicaof("NO", "ONE")
    works(store, how, key)


@BOTH
def test_scripts_that_were_flushed(store: Store, client: redis.Redis, key: bytes, how: str) -> None:
    client.script_flush()
    works(store, how, key)
    assert client.script_exists(*scripts()) == [True, False]


def scripts() -> list[str]:
    from sessionstore.stores.redis.commands import DELETE, REPLACE

    return [script.sha.decode() for script in (REPLACE, DELETE)]


@BOTH
def test_a_key_that_holds_something_else(
    store: Store, client: redis.Redis, prefix: str, how: str
) -> None:
    key = store.key("list")
    client.rpush(key, "a")
    for flow in (store.load(key), store.replace(key, value(1), 60, value(1)[1:13])):
        with pytest.raises(StoreRefused, match="WRONGTYPE"):
            carry(store, how, flow)


@BOTH
def test_a_busy_script(store: Store, client: redis.Redis, key: bytes, how: str) -> None:
    client.config_set("busy-reply-threshold", 10)

    def loop() -> None:
        with (
            suppress(redis.ResponseError),
            redis.Redis(unix_socket_path=client.connection_pool.connection_kwargs["path"]) as other,
        ):
            other.eval("while true do end", 0)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not is_busy(client):
            assert time.monotonic() < deadline
        for flow in (store.load(key), store.delete(key)):
            with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="BUSY"):
                carry(store, how, flow)
    finally:
        client.execute_command("SCRIPT", "KILL")
        thread.join()
    works(store, how, key)


def is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError:
        return True
    return False


@BOTH
def test_a_frozen_server(store: Store, server: RedisServer, key: bytes, how: str) -> None:
    server.child.freeze()
    try:
        with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
            carry(store, how, store.load(key))
        with Stopwatch(TIMEOUT), pytest.raises((OutcomeUnknown, StoreUnavailable)):
            carry(store, how, store.create(store.key("new"), value(1), 60))
    finally:
        server.child.process.send_signal(signal.SIGCONT)
    works(store, how, key)


@BOTH
def test_connections_that_the_server_kills(
    store: Store, client: redis.Redis, key: bytes, how: str
) -> None:
    if how == "sync":
        carry(store, how, store.load(key))
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        works(store, how, key)
        return

    async def use() -> None:
        deadline = time.monotonic() + 10
        await store.aexecute(next(store.load(key)), deadline)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        # The loop must have seen it; a command in the same instant may be lost, and says so.
        await asyncio.sleep(0.05)
        command = next(store.replace(key, value(2), 600, value(1)[1:13]))
        assert await store.aexecute(command, deadline) == 1

    asyncio.run(use())


@BOTH
def test_no_free_client_slot(server: RedisServer, client: redis.Redis, how: str) -> None:
    client.ping()
    before = client.config_get("maxclients")["maxclients"]
    client.config_set("maxclients", 1)
    store = open_store(server.url, timeout=TIMEOUT)
    try:
        with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
            carry(store, how, store.load(store.key("h")))
    finally:
        client.config_set("maxclients", str(before))
        store.close()


@BOTH
def test_a_password_that_is_changed(
    server: RedisServer, client: redis.Redis, how: str, prefix: str
) -> None:
    client.execute_command("ACL", "SETUSER", prefix, "on", ">old", "~*", "+@all")
    path = server.url.removeprefix("redis+unix://")
    store = open_store(f"redis+unix://{prefix}:old@{path}", prefix=prefix, timeout=TIMEOUT)
    try:
        assert carry(store, how, store.load(store.key("h")), 10) is None
        client.execute_command("ACL", "SETUSER", prefix, "<old", ">new")
        client.execute_command("CLIENT", "KILL", "USER", prefix)
        with Stopwatch(TIMEOUT), pytest.raises(StoreRefused, match="password"):
            carry(store, how, store.load(store.key("h")))
    finally:
        client.execute_command("ACL", "DELUSER", prefix)
        store.close()


@BOTH
def test_a_permission_that_is_missing(
    server: RedisServer, client: redis.Redis, how: str, prefix: str
) -> None:
    client.execute_command("ACL", "SETUSER", prefix, "on", ">pw", f"~{prefix}:*", "-@all", "+get")
    path = server.url.removeprefix("redis+unix://")
    stores = [
        open_store(f"redis+unix://{prefix}:pw@{path}?{query}", timeout=TIMEOUT)
        for query in (f"prefix={prefix}", "prefix=other", f"prefix={prefix}&db=1")
    ]
    mine, foreign, elsewhere = stores
    try:
        assert carry(mine, how, mine.load(mine.key("h")), 10) is None
        for store, flow in (
            (mine, mine.create(mine.key("h"), value(1), 60)),
            (foreign, foreign.load(foreign.key("h"))),
            (elsewhere, elsewhere.load(elsewhere.key("h"))),  # SELECT
        ):
            with pytest.raises(StoreRefused, match="NOPERM"):
                carry(store, how, flow)
    finally:
        client.execute_command("ACL", "DELUSER", prefix)
        for store in stores:
            store.close()


@BOTH
def test_a_restart(how: str, prefix: str) -> None:
    """Everything in memory is gone, the scripts included; the store goes on by itself."""
    with run_redis() as server:
        store = open_store(server.url, prefix=prefix, timeout=TIMEOUT)
        key = store.key("h")
        carry(store, how, store.create(key, value(1), 600), 10)
        server.child.stop()
        with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
            carry(store, how, store.load(key))
        child = type(server.child)(server.child.command, server.directory)
        try:
            child.wait_until(server.socket.exists)
            assert carry(store, how, store.load(key), 10) is None
            assert carry(store, how, store.create(key, value(1), 600), 10) != Exists()
            works(store, how, key)
        except StartError:
            pytest.fail(child.output)
        finally:
            store.close()
            child.stop()
