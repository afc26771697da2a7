"""A network that misbehaves, between a real server and the store."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from sessionstore.core.errors import OutcomeUnknown, StoreUnavailable
from sessionstore.core.flow import Flow, arun
from sessionstore.core.verbs import Conflict, Entry, Exists
from sessionstore.stores.base import Store
from sessionstore.stores.redis import RedisStore
from sessionstore.stores.url import open_store
from sessionstore.testing import FaultProxy
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry, revived
from tests.support.servers import RedisServer

TIMEOUT = 0.6

SENT = ["reset", "silent", "lost", "swallowed", "half", "stalled"]
"""The request leaves, and no whole reply comes."""


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.socket) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: FaultProxy, prefix: str) -> Iterator[Store]:
    store = open_store(f"redis://{proxy.address}", prefix=prefix, timeout=TIMEOUT)
    yield store
    store.close()


@pytest.fixture
def direct(redis_server: RedisServer, prefix: str) -> Iterator[Store]:
    """The same sessions, past the proxy. The server knows the scripts."""
    store = open_store(redis_server.url, prefix=prefix, timeout=10)
    carry(store, "sync", store.replace(store.key("none"), value(1), 1, value(1)[1:13]))
    carry(store, "sync", store.delete(store.key("none"), value(1)[1:13]))
    yield store
    store.close()


@BOTH
@pytest.mark.parametrize("fault", SENT)
def test_a_read_without_a_reply(store: Store, proxy: FaultProxy, fault: str, how: str) -> None:
    key = store.key("h")
    carry(store, how, store.create(key, value(1), 60))  # warm
    proxy.fault = fault
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        carry(store, how, store.load(key))
    assert proxy.accepted > 1, "a read is tried again, on another connection"
    proxy.fault = ""
    assert carry(store, how, store.load(key), 10) == Entry(value(1), value(1)[1:13])


@BOTH
@pytest.mark.parametrize("fault", SENT)
@pytest.mark.parametrize("verb", ["create", "replace", "delete", "delete_if"])
def test_a_write_without_a_reply(
    store: Store, direct: Store, proxy: FaultProxy, fault: str, how: str, verb: str
) -> None:
    """Its outcome is unknown, and it is not sent a second time."""
    key = store.key("h")
    carry(store, how, store.load(key))  # warm
    if verb != "create":
        carry(direct, "sync", direct.create(key, value(1), 60))
    writes = {
        "create": store.create(key, value(2), 60),
        "replace": store.replace(key, value(2), 60, value(1)[1:13]),
        "delete": store.delete(key),
        "delete_if": store.delete(key, value(1)[1:13]),
    }
    proxy.fault = fault
    with Stopwatch(TIMEOUT), pytest.raises(OutcomeUnknown):
        carry(store, how, writes[verb])
    proxy.fault = ""
    executed = fault not in {"reset", "silent"}
    # Under "reset", a write on a connection that was reset while idle may have gone out anew.
    entry = carry(direct, "sync", direct.load(key))
    if executed:
        assert entry == (None if "delete" in verb else Entry(value(2), value(2)[1:13]))
    else:
        assert entry == (None if verb == "create" else Entry(value(1), value(1)[1:13]))
    if entry is not None:
        assert carry(store, how, store.load(key), 10) == entry


@BOTH
def test_a_lost_write_repeated_by_the_caller_meets_itself(
    store: Store, direct: Store, proxy: FaultProxy, how: str
) -> None:
    """What DESIGN.md's lost reply rests on: byte for byte again, and the conflict shows our own."""
    key, old = store.key("h"), value(1)[1:13]
    carry(store, how, store.create(key, value(1), 60))
    proxy.fault = "lost"
    with pytest.raises(OutcomeUnknown):
        carry(store, how, store.replace(key, value(2), 60, old))
    proxy.fault = ""
    again = carry(store, how, store.replace(key, value(2), 60, old), 10)
    assert again == Conflict(Entry(value(2), value(2)[1:13]))


@BOTH
def test_a_server_that_reads_nothing(store: Store, proxy: FaultProxy, how: str) -> None:
    """A large value fills the buffers on the way: the deadline holds for sending, too."""
    proxy.fault = "full"
    body = bytes(8 * 1024 * 1024)
    with Stopwatch(TIMEOUT), pytest.raises((StoreUnavailable, OutcomeUnknown)):
        carry(store, how, store.create(store.key("h"), value(1, body), 60))
    proxy.fault = ""
    assert carry(store, how, store.load(store.key("other")), 10) is None


@BOTH
def test_replies_byte_by_byte(store: Store, proxy: FaultProxy, how: str) -> None:
    key = store.key("h")
    carry(store, how, store.create(key, value(1, b"x" * 100), 60))
    proxy.fault = "slices"
    entry = carry(store, how, store.load(key), 10)
    assert entry is not None
    assert entry.value == value(1, b"x" * 100)
    # Each byte comes in time, and all of them do not.
    proxy.delay = 0.02
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        carry(store, how, store.load(key))


@BOTH
def test_nobody_listens(how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = open_store(f"redis://127.0.0.1:{port}?timeout={TIMEOUT}")
    for flow in (store.load(store.key("h")), store.create(store.key("h"), value(1), 60)):
        with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="refused"):
            carry(store, how, flow)
    store.close()


@BOTH
def test_a_host_that_accepts_nothing(how: str) -> None:
    """Its queue of connections is full: what a black hole looks like from here."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            store = open_store(f"redis://127.0.0.1:{port}?timeout={TIMEOUT}")
            with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="timed out"):
                carry(store, how, store.create(store.key("h"), value(1), 60))
            store.close()
        finally:
            for filler in fillers:
                filler.close()


@BOTH
def test_a_silent_server_that_wants_a_password(proxy: FaultProxy, how: str) -> None:
    proxy.fault = "silent"
    store = open_store(f"redis://:secret@{proxy.address}?timeout={TIMEOUT}")
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        carry(store, how, store.create(store.key("h"), value(1), 60))
    store.close()


@BOTH
def test_a_log_in_byte_by_byte(redis_tcp_server: RedisServer, how: str) -> None:
    with FaultProxy(redis_tcp_server.socket, "slices") as proxy:
        proxy.delay = 0.05
        store = open_store(f"redis://:wrong@{proxy.address}?timeout={TIMEOUT}")
        with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
            carry(store, how, store.load(store.key("h")))
        store.close()


@BOTH
def test_an_unknown_host(how: str) -> None:
    store = open_store(f"redis://no-such-host.invalid?timeout={TIMEOUT}")
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        carry(store, how, store.load(store.key("h")))
    store.close()


@BOTH
def test_a_name_server_that_does_not_answer(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*arguments: object, **options: object) -> None:
        time.sleep(3 * TIMEOUT)
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    store = open_store(f"redis://localhost?timeout={TIMEOUT}")
    lookup = carry if how == "sync" else carry_in_a_loop_that_does_not_wait_for_its_threads
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        lookup(store, how, store.load(store.key("h")))
    store.close()
    time.sleep(2 * TIMEOUT)  # so that the late thread ends within this test


def carry_in_a_loop_that_does_not_wait_for_its_threads(
    store: Store, how: str, flow: Flow[object]
) -> None:
    """``asyncio.run`` would wait for the name lookup at the end."""
    deadline = time.monotonic() + store.timeout
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(arun(flow, lambda command: store.aexecute(command, deadline)))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@BOTH
def test_connections_that_died_while_idle_harm_no_write(
    store: Store, proxy: FaultProxy, how: str
) -> None:
    """The server was restarted: a write on such a connection would have an unknown outcome."""
    if how == "sync":
        carry(store, how, store.load(store.key("h")))
        cut_and_notice(proxy)
        assert carry(store, how, store.create(store.key("h"), value(1), 60), 10) != Exists()
        return

    async def use() -> None:
        deadline = time.monotonic() + 10

        async def execute(command: object) -> object:
            return await store.aexecute(command, deadline)  # type: ignore[arg-type]

        await arun(store.load(store.key("h")), execute)
        await asyncio.to_thread(cut_and_notice, proxy)
        assert await arun(store.create(store.key("h"), value(1), 60), execute) != Exists()

    asyncio.run(use())


def cut_and_notice(proxy: FaultProxy) -> None:
    """Reset all connections, and wait until the proxy has let go of them."""
    deadline = time.monotonic() + 10
    while proxy.open:
        proxy.cut()
        time.sleep(0.01)
        assert time.monotonic() < deadline


def test_the_pool_returns_to_its_baseline(store: RedisStore, proxy: FaultProxy) -> None:
    for fault in SENT:
        proxy.fault = fault
        with pytest.raises(StoreUnavailable):
            carry(store, "sync", store.load(store.key("h")))
    proxy.fault = ""
    revived(store, "sync", lambda: store.load(store.key("h")))
    assert store.connections == 1
    store.close()
    assert store.connections == 0
