"""``durable=``: writes that wait until a replica has them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from sessionstore import SessionConfig, SessionManager, open_store
from sessionstore.core.errors import NotReplicated, OutcomeUnknown
from sessionstore.core.flow import Command, Flow, arun
from sessionstore.core.verbs import Conflict, Deleted, Exists, Missing
from sessionstore.stores.base import Store
from sessionstore.stores.redis import RedisStore
from sessionstore.stores.servers.channel import Channel
from sessionstore.stores.servers.lines import EXCLUSIVE
from sessionstore.stores.wire import Wire
from sessionstore.testing import FaultProxy
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, carry
from tests.support.children import Child, accepts, on_free_port, scratch_directory
from tests.support.redis_topologies import SentinelGroup
from tests.support.servers import RedisServer, valkey_program

SECRET = "the signing key of the tests, long enough"


@pytest.fixture
def alone(redis_server: RedisServer, prefix: str) -> Iterator[Store]:
    """A server without a replica: each durable write is one short, after its WAIT."""
    store = open_store(f"{redis_server.url}?durable=1", prefix=prefix, timeout=1)
    yield store
    store.close()


@pytest.fixture
def copied(sentinel_group: SentinelGroup, prefix: str) -> Iterator[Store]:
    store = open_store(f"{sentinel_group.url}?durable=1", prefix=prefix, timeout=10)
    yield store
    store.close()


# -- the verbs --


@BOTH
def test_each_kind_of_write_is_confirmed(copied: Store, how: str) -> None:
    verbs, key = copied.critical, copied.key("h")
    assert carry(copied, how, verbs.create(key, value(1), 60)) == value(1)[1:13]
    assert carry(copied, how, verbs.create(key, value(1), 60)) == Exists()
    assert carry(copied, how, verbs.replace(key, value(2), 60, value(1)[1:13])) == value(2)[1:13]
    conflict = carry(copied, how, verbs.replace(key, value(3), 60, value(1)[1:13]))
    assert isinstance(conflict, Conflict)
    assert carry(copied, how, verbs.delete(key, value(2)[1:13])) == Deleted()
    assert carry(copied, how, verbs.delete(key)) == Missing()


@BOTH
def test_a_shortfall_says_what_was_done(alone: Store, how: str) -> None:
    verbs, key = alone.critical, alone.key("h")
    steps: list[tuple[Flow[Any], Any]] = [
        (verbs.create(key, value(1), 60), value(1)[1:13]),
        (verbs.replace(key, value(2), 60, value(1)[1:13]), value(2)[1:13]),
        (verbs.delete(key, value(2)[1:13]), Deleted()),
    ]
    for flow, result in steps:
        with pytest.raises(NotReplicated, match="no replica has confirmed") as caught:
            carry(alone, how, flow)
        assert caught.value.result == result
    assert carry(alone, how, alone.load(key)) is None, "it was done all the same"


@BOTH
def test_what_wrote_nothing_is_not_one_short(alone: Store, how: str) -> None:
    key = alone.key("h")
    carry(alone, how, alone.create(key, value(1), 60))
    verbs = alone.critical
    assert carry(alone, how, verbs.create(key, value(2), 60)) == Exists()
    conflict = carry(alone, how, verbs.replace(key, value(3), 60, value(2)[1:13]))
    assert isinstance(conflict, Conflict)
    assert carry(alone, how, verbs.delete(alone.key("none"))) == Missing()


@BOTH
def test_other_writes_do_not_wait(alone: Store, how: str) -> None:
    assert carry(alone, how, alone.create(alone.key("h"), value(1), 60)) == value(1)[1:13]


@BOTH
def test_all_means_all(redis_server: RedisServer, prefix: str, how: str) -> None:
    store = open_store(f"{redis_server.url}?durable=all", prefix=prefix, timeout=1)
    with pytest.raises(NotReplicated):
        carry(store, how, store.create(store.key("h"), value(1), 60))
    store.close()


@BOTH
def test_the_connection_goes_while_it_waits(
    redis_server: RedisServer, prefix: str, how: str
) -> None:
    """The write was executed and answered. Its server may be gone, and the write with it."""
    with FaultProxy(redis_server.socket) as proxy:
        store = open_store(f"redis://{proxy.address}?durable=1", prefix=prefix, timeout=1)
        carry(store, how, store.load(store.key("h")))
        proxy.fault = "lost"
        with pytest.raises(OutcomeUnknown):
            carry(store, how, store.critical.create(store.key("h"), value(1), 60))
        store.close()


@BOTH
def test_the_connection_goes_while_it_is_sent(
    redis_server: RedisServer, prefix: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write was whole, and the WAIT after it was not: it was executed, and is not repeated."""
    store = open_store(f"{redis_server.url}?durable=1", prefix=prefix, timeout=1)
    key = store.key("h")
    carry(store, how, store.load(key))
    send, write = Wire._send, Channel._flush

    def cut(data: bytes | memoryview) -> bytes | memoryview:
        whole = bytes(data).find(b"\r\nWAIT\r\n")
        return data if whole < 0 else data[:whole]

    def lose(self: Wire, rest: memoryview, until: float) -> None:
        raise ConnectionResetError

    def flush(self: Channel) -> None:
        self._unsent = [bytes(cut(each)) for each in self._unsent]
        write(self)
        self._transport.abort()

    monkeypatch.setattr(Wire, "_send", lambda self, data: send(self, cut(data)))
    monkeypatch.setattr(Wire, "_send_rest", lose)
    monkeypatch.setattr(Channel, "_flush", flush)
    with pytest.raises(OutcomeUnknown):
        carry(store, how, store.critical.create(key, value(1), 60))
    monkeypatch.undo()
    store.close()


def test_waiting_holds_nobody_else_up(redis_server: RedisServer, prefix: str) -> None:
    store = open_store(f"{redis_server.url}?durable=1", prefix=prefix, timeout=5)

    async def do(flow: Flow[Any]) -> Any:
        deadline = time.monotonic() + 5

        async def execute(command: Command[Any]) -> Any:
            return await store.aexecute(command, deadline)

        return await arun(flow, execute)

    async def use() -> None:
        await do(store.load(store.key("h")))
        keys = [store.key(f"{number:016x}") for number in range(5)]
        logins = [asyncio.create_task(do(store.critical.create(key, value(1), 60))) for key in keys]
        await asyncio.sleep(0)
        for _ in range(200):
            await do(store.load(store.key("h")))
        assert not any(login.done() for login in logins), "they wait for a replica"
        # One of them is cancelled: what it waits for is nobody's.
        logins[0].cancel()
        results = await asyncio.gather(*logins, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert {type(result) for result in results[1:]} == {NotReplicated}
        for key in keys:
            assert await do(store.load(key)) is not None
        await store.aclose()

    asyncio.run(use())


@BOTH
def test_a_quiet_server_ends_its_wait_too_late(
    redis_server: RedisServer, prefix: str, how: str
) -> None:
    """By up to 100 ms: that must not cost the answer to the write itself."""
    store = open_store(f"{redis_server.url}?durable=all&timeout=0.5", prefix=prefix)
    for number in range(6):
        with pytest.raises(NotReplicated):
            carry(store, how, store.create(store.key(f"{number:016x}"), value(1), 60))
        time.sleep(0.11)  # so that it is quiet
    store.close()


def test_a_lost_replica_does_not_hold_up_every_login(
    redis_server: RedisServer, prefix: str
) -> None:
    """Once it is known, many at once are no more than many at once."""
    store = open_store(f"{redis_server.url}?durable=1", prefix=prefix, timeout=2)

    async def login() -> None:
        deadline = time.monotonic() + 20

        async def execute(command: Command[Any]) -> Any:
            return await store.aexecute(command, deadline)

        key = store.key(uuid.uuid4().hex[:16])
        with pytest.raises(NotReplicated):
            await arun(store.critical.create(key, value(1), 60), execute)

    async def use() -> None:
        until = time.monotonic() + 2 * store.timeout
        while time.monotonic() < until:
            await login()
        for _ in range(10):
            await asyncio.gather(*(login() for _ in range(2 * EXCLUSIVE)))
        (health,) = store.health()
        assert health.available
        await store.aclose()

    asyncio.run(use())


# -- what sessions make of it --


@contextmanager
def managed(url: str, prefix: str) -> Iterator[tuple[SessionManager, list[str]]]:
    reports: list[str] = []
    store = open_store(url, prefix=prefix, timeout=1)
    yield (
        SessionManager(
            store,
            SessionConfig(secret_key=SECRET),
            on_report=lambda what, handle: reports.append(what),
        ),
        reports,
    )
    store.close()


def test_logins_logouts_and_rotations_are_the_critical_ones(
    redis_server: RedisServer, prefix: str
) -> None:
    """One short each time: the session is stored all the same, and the shortfall reported."""
    with managed(f"{redis_server.url}?durable=1", prefix) as (manager, reports):
        session = manager.open(None)
        session["a"] = 1
        cookie = manager.commit(session)
        assert cookie is not None
        assert reports == []

        session = manager.open(cookie.value)
        session.login("ada")
        cookie = manager.commit(session)
        assert cookie is not None
        assert reports == ["not_replicated"]

        session = manager.open(cookie.value)
        assert session.subject == "ada"
        session["b"] = 2
        manager.commit(session)
        assert reports == ["not_replicated"]

        session.rotate()
        cookie = manager.commit(session)
        assert cookie is not None
        assert reports == ["not_replicated"] * 2

        session = manager.open(cookie.value)
        assert session["b"] == 2
        session.logout()
        gone = manager.commit(session)
        assert gone is not None
        assert gone.value is None
        assert reports == ["not_replicated"] * 3
        assert manager.open(cookie.value).is_new


def test_a_login_that_begins_a_session(redis_server: RedisServer, prefix: str) -> None:
    with managed(f"{redis_server.url}?durable=1", prefix) as (manager, reports):
        session = manager.open(None)
        session.login("ada")
        cookie = manager.commit(session)
        assert cookie is not None
        assert reports == ["not_replicated"]
        assert manager.open(cookie.value).subject == "ada"


def test_nothing_is_reported_where_a_replica_confirms(
    sentinel_group: SentinelGroup, prefix: str
) -> None:
    with managed(f"{sentinel_group.url}?durable=all&timeout=10", prefix) as (manager, reports):
        session = manager.open(None)
        session.login("ada")
        session["a"] = 1
        cookie = manager.commit(session)
        assert cookie is not None
        session = manager.open(cookie.value)
        session.logout()
        manager.commit(session)
        assert reports == []


# -- WAITAOF, which Valkey and Redis 7.2 have --


def is_linked(client: redis.Redis) -> bool:
    state: Any = client.info("replication")
    return bool(state["master_link_status"] == "up")


@contextmanager
def valkey_pair() -> Iterator[tuple[int, int]]:
    """The ports of a primary with an append-only file, and of its replica."""
    program = valkey_program()
    with scratch_directory() as directory:

        def start(name: str, *options: str) -> Any:
            (directory / name).mkdir(exist_ok=True)
            fixed = ["--save", "", "--dir", str(directory / name), *options]
            return lambda port: Child(
                [program, "--port", str(port), "--bind", "127.0.0.1", *fixed], directory / name
            )

        aof = (
            "--repl-diskless-sync-delay",
            "0",
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
        )
        with on_free_port(start("primary", *aof), accepts) as (primary, _):
            follow = ("--replicaof", f"127.0.0.1 {primary}")
            with on_free_port(start("replica", *follow), accepts) as (replica, child):
                with redis.Redis(port=replica) as client:
                    child.wait_until(
                        lambda: client.info("replication")["master_link_status"] == "up"
                    )
                yield primary, replica


def test_where_the_server_has_waitaof_the_disk_is_waited_for_too(prefix: str) -> None:
    with valkey_pair() as (port, _):
        store = open_store(f"redis://127.0.0.1:{port}?durable=all", prefix=prefix, timeout=10)
        assert isinstance(store, RedisStore)
        with redis.Redis(port=port) as client:
            client.config_resetstat()
            for how in ("sync", "async"):
                carry(store, how, store.create(store.key(how), value(1), 60))
            calls = client.info("commandstats")
            assert calls["cmdstat_waitaof"]["calls"] == 2
            assert calls["cmdstat_waitaof"]["failed_calls"] == 0
            assert calls["cmdstat_wait"]["calls"] == 2
            # Without the file there is no disk to wait for: the server says so, once.
            client.config_set("appendonly", "no")
            client.config_resetstat()
            for number in range(3):
                carry(store, "sync", store.create(store.key(f"{number}"), value(1), 60))
            calls = client.info("commandstats")
            assert calls["cmdstat_wait"]["calls"] == 3
            assert calls["cmdstat_waitaof"]["calls"] == 1
        store.close()
