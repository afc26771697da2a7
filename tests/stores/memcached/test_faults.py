"""A network that misbehaves, between a real server and the store."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sessionstore import SessionConfig, SessionManager
from sessionstore.core.errors import OutcomeUnknown, StoreUnavailable
from sessionstore.core.flow import Command
from sessionstore.core.verbs import Conflict, Entry, Exists
from sessionstore.stores.base import Store, Version
from sessionstore.stores.memcached import MemcachedStore
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry, revived
from tests.stores.memcached.conftest import (
    PROTOCOLS,
    FaultProxy,
    MakeRunner,
    Runner,
    memcached,
)
from tests.support.memcached_servers import MemcachedServer

TIMEOUT = 0.6

SENT = ["reset", "silent", "lost", "swallowed", "half", "stalled"]
"""The request leaves, and no whole reply comes."""


@pytest.fixture
def proxy(memcached_server: MemcachedServer) -> Iterator[FaultProxy]:
    with FaultProxy(memcached_server.socket) as proxy:
        yield proxy


@pytest.fixture(params=["meta", "binary"])
def url(proxy: FaultProxy, request: pytest.FixtureRequest) -> str:
    return f"memcached://{proxy.address}?protocol={request.param}"


@pytest.fixture(params=["sync", "async"])
def warm(url: str, running: MakeRunner, request: pytest.FixtureRequest) -> Runner:
    """A runner with a connection that is greeted."""
    run = running(url, request.param, timeout=TIMEOUT)
    run(run.store.load(run.store.key("warm")), 10)
    return run


@pytest.fixture
def direct(memcached_server: MemcachedServer, prefix: str) -> Iterator[MemcachedStore]:
    """The same sessions, past the proxy."""
    store = memcached(memcached_server.url, prefix=prefix, timeout=10)
    yield store
    store.close()


def created(store: Store, key: bytes) -> Version:
    version = carry(store, "sync", store.create(key, value(1), 60))
    assert not isinstance(version, Exists)
    return version


@pytest.mark.parametrize("fault", SENT)
def test_a_read_without_a_reply(warm: Runner, direct: Store, proxy: FaultProxy, fault: str) -> None:
    key = warm.store.key("h")
    version = created(direct, key)
    proxy.fault = fault
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        warm(warm.store.load(key))
    assert proxy.accepted > 1, "a read is tried again, on another connection"
    proxy.fault = ""
    assert warm(warm.store.load(key), 10) == Entry(value(1), version)


@pytest.mark.parametrize("fault", SENT)
@pytest.mark.parametrize("verb", ["create", "replace", "delete", "delete_if"])
def test_a_write_without_a_reply(
    warm: Runner, direct: Store, proxy: FaultProxy, fault: str, verb: str
) -> None:
    """Its outcome is unknown, and it is not sent a second time."""
    store, key = warm.store, warm.store.key("h")
    version = 0 if verb == "create" else created(direct, key)
    writes = {
        "create": store.create(key, value(2), 60),
        "replace": store.replace(key, value(2), 60, version),
        "delete": store.delete(key),
        "delete_if": store.delete(key, version),
    }
    proxy.fault = fault
    with Stopwatch(TIMEOUT), pytest.raises(OutcomeUnknown):
        warm(writes[verb])
    proxy.fault = ""
    entry = carry(direct, "sync", direct.load(key))
    if fault not in {"reset", "silent"}:  # it was executed
        assert (entry and entry.value) == (None if "delete" in verb else value(2))
    else:
        assert entry == (None if verb == "create" else Entry(value(1), version))
    assert warm(store.load(key), 10) == entry


def test_a_lost_write_repeated_by_the_caller_meets_itself(
    warm: Runner, direct: Store, proxy: FaultProxy
) -> None:
    """What DESIGN.md's lost reply rests on: byte for byte again, and the conflict shows our own."""
    key = warm.store.key("h")
    old = created(direct, key)
    proxy.fault = "lost"
    with pytest.raises(OutcomeUnknown):
        warm(warm.store.replace(key, value(2), 60, old))
    proxy.fault = ""
    again = warm(warm.store.replace(key, value(2), 60, old), 10)
    assert isinstance(again, Conflict)
    assert again.entry.value == value(2)


@BOTH
@PROTOCOLS
@pytest.mark.parametrize("fault", SENT)
def test_a_greeting_without_a_reply(
    proxy: FaultProxy, running: MakeRunner, how: str, protocol: str, fault: str
) -> None:
    """A write's outcome is known: it was not sent."""
    proxy.fault = fault
    run = running(f"memcached://{proxy.address}?protocol={protocol}", how, timeout=TIMEOUT)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        run(run.store.create(run.store.key("h"), value(1), 60))
    proxy.fault = ""
    assert run(run.store.load(run.store.key("h")), 10) is None


def test_a_server_that_reads_nothing(warm: Runner, proxy: FaultProxy) -> None:
    """A large value fills the buffers on the way: the deadline holds for sending, too."""
    proxy.fault = "full"
    store = warm.store

    def send_much() -> None:
        for number in range(40):
            warm(store.create(store.key(f"h{number}"), value(1, bytes(1_000_000)), 60))

    with Stopwatch(TIMEOUT), pytest.raises((StoreUnavailable, OutcomeUnknown)):
        send_much()
    proxy.fault = ""
    assert warm(store.load(store.key("other")), 10) is None


def test_replies_byte_by_byte(warm: Runner, proxy: FaultProxy) -> None:
    key = warm.store.key("h")
    warm(warm.store.create(key, value(1, b"x" * 100), 60), 10)
    proxy.fault = "slices"
    entry = warm(warm.store.load(key), 10)
    assert entry is not None
    assert entry.value == value(1, b"x" * 100)
    # Each byte comes in time, and all of them do not.
    proxy.delay = 0.02
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        warm(warm.store.load(key))


@BOTH
def test_nobody_listens(running: MakeRunner, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    run = running(f"memcached://127.0.0.1:{port}", how, timeout=TIMEOUT)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="refused"):
        run(run.store.create(run.store.key("h"), value(1), 60))


@BOTH
def test_a_socket_that_is_not_there(running: MakeRunner, how: str) -> None:
    run = running("memcached+unix:///no/such/socket", how, timeout=TIMEOUT)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="No such file"):
        run(run.store.load(run.store.key("h")))


def test_connections_that_died_while_idle_harm_no_write(warm: Runner, proxy: FaultProxy) -> None:
    """The server was restarted: a write on such a connection would have an unknown outcome."""
    deadline = time.monotonic() + 10
    while proxy.open:
        proxy.cut()
        time.sleep(0.01)
        assert time.monotonic() < deadline
    warm.idle()
    assert warm(warm.store.create(warm.store.key("h"), value(1), 60), 10) != Exists()


def test_the_pool_returns_to_its_baseline(url: str, running: MakeRunner, proxy: FaultProxy) -> None:
    run = running(url, "sync", timeout=TIMEOUT)
    for fault in SENT:
        proxy.fault = fault
        with pytest.raises(StoreUnavailable):
            run(run.store.load(run.store.key("h")))
    proxy.fault = ""
    revived(run.store, "sync", lambda: run.store.load(run.store.key("h")))
    assert run.store.connections == 1
    run.store.close()
    assert run.store.connections == 0


@PROTOCOLS
def test_a_commit_whose_reply_was_lost_is_one_commit(
    proxy: FaultProxy, direct: MemcachedStore, prefix: str, protocol: str
) -> None:
    """The core sends it again with the same CAS number, meets its own write, and knows it."""
    store = memcached(f"memcached://{proxy.address}?protocol={protocol}&timeout=5", prefix=prefix)
    manager = SessionManager(store, SessionConfig(secret_key="k" * 32))
    session = manager.open(None)
    session["visits"] = 0
    cookie = manager.commit(session)
    assert cookie is not None
    execute, lost = store.execute, []

    def losing(command: Command[Any], deadline: float) -> Any:
        if not command.write or lost:
            return execute(command, deadline)
        lost.append(command)
        proxy.fault = "lost"
        try:
            return execute(command, deadline)
        finally:
            proxy.fault = ""

    store.execute = losing  # type: ignore[method-assign]
    session = manager.open(cookie.value)
    session["visits"] += 1
    manager.commit(session)
    assert len(lost) == 1
    watching = SessionManager(direct, SessionConfig(secret_key="k" * 32))
    assert watching.open(cookie.value) == {"visits": 1}
    store.close()
