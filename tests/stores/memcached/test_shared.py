"""The asyncio transport: one connection, many tasks."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from sessionstore.core.errors import OutcomeUnknown, StoreRefused, StoreUnavailable
from sessionstore.core.flow import Command, Flow, arun
from sessionstore.core.verbs import Entry, Exists
from sessionstore.stores.memcached import MemcachedStore
from sessionstore.stores.memcached.channel import MemcachedChannel
from sessionstore.testing.driving import value
from tests.stores.memcached.conftest import FaultProxy, memcached
from tests.support.memcached_servers import MemcachedServer
from tests.support.scripted_memcached import Asked, ScriptedMemcached

TIMEOUT = 0.5


@pytest.fixture
def proxy(memcached_server: MemcachedServer) -> Iterator[FaultProxy]:
    with FaultProxy(memcached_server.socket) as proxy:
        yield proxy


@pytest.fixture(params=["meta", "binary"])
def url(proxy: FaultProxy, request: pytest.FixtureRequest) -> str:
    return f"memcached://{proxy.address}?protocol={request.param}"


@pytest.fixture
def store(url: str, prefix: str) -> MemcachedStore:
    return memcached(url, prefix=prefix, timeout=TIMEOUT)


@pytest.fixture
def patient(url: str, prefix: str) -> MemcachedStore:
    """One for which a slow reply is not overdue."""
    return memcached(url, prefix=prefix, timeout=20)


async def do(store: MemcachedStore, flow: Flow[Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds

    async def execute(command: Command[Any]) -> Any:
        return await store.aexecute(command, deadline)

    return await arun(flow, execute)


async def filled(store: MemcachedStore, count: int) -> list[bytes]:
    """So many keys, whose values say which they are."""
    keys = [store.key(f"{number:016x}") for number in range(count)]
    await asyncio.gather(*(do(store, store.create(key, value(1, key), 60)) for key in keys))
    return keys


async def test_all_tasks_share_one_connection(patient: MemcachedStore, proxy: FaultProxy) -> None:
    keys = await filled(patient, 100)
    for _ in range(3):
        entries = await asyncio.gather(*(do(patient, patient.load(key)) for key in keys))
        assert [entry.value[13:] for entry in entries] == keys
    assert proxy.accepted == 1


async def test_commands_of_one_tick_leave_in_one_write(
    patient: MemcachedStore, proxy: FaultProxy
) -> None:
    keys = await filled(patient, 50)
    proxy.requests.clear()
    await asyncio.gather(*(do(patient, patient.load(key)) for key in keys))
    # Some may be read apart by the proxy, but 50 commands were not 50 packets.
    assert len(proxy.requests) < 5
    assert b"".join(proxy.requests).count(patient.prefix.encode()) == 50


async def test_of_cancelled_tasks_only_the_replies_are_lost(
    patient: MemcachedStore, proxy: FaultProxy
) -> None:
    """In redis-py, one user's data went to another here (CVE-2023-28858)."""
    keys = await filled(patient, 40)
    proxy.fault, proxy.delay = "slices", 0.0001
    tasks = [asyncio.create_task(do(patient, patient.load(key))) for key in keys]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for key, result in zip(keys, results, strict=True):
        if not isinstance(result, asyncio.CancelledError):
            assert isinstance(result, Entry)
            assert result.value[13:] == key
    assert sum(isinstance(result, Entry) for result in results) >= 20
    assert proxy.accepted == 1, "the connection is still good"


async def test_an_overdue_reply_retires_the_connection(
    store: MemcachedStore, proxy: FaultProxy
) -> None:
    (key,) = await filled(store, 1)
    proxy.fault = "swallowed"
    with pytest.raises(StoreUnavailable):
        await do(store, store.load(key), TIMEOUT)
    proxy.fault = ""
    assert (await do(store, store.load(key))).value[13:] == key
    # Those on which nobody waits any more are closed.
    deadline = time.monotonic() + 10
    while proxy.open > 1:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_server_that_turns_each_connection_away_costs_no_memory() -> None:
    full = b"ERROR Too many open connections\r\n"
    with ScriptedMemcached("meta", full, greeting=False) as server:
        store = memcached(server.url(), timeout=0.2)
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                await do(store, store.load(store.key("h")), 0.2)
        assert server.connections > 20
        await asyncio.sleep(0)
        gc.collect()
        channels = [each for each in gc.get_objects() if type(each) is MemcachedChannel]
        assert len([each for each in channels if each._node.endswith(f":{server.port}")]) <= 2
        await store.aclose()


async def test_an_impatient_caller_does_not_cost_the_others_their_connection(
    patient: MemcachedStore, proxy: FaultProxy
) -> None:
    (key,) = await filled(patient, 1)
    proxy.fault, proxy.delay = "slices", 0.002
    slow = asyncio.create_task(do(patient, patient.load(key)))
    with pytest.raises(StoreUnavailable):
        await do(patient, patient.load(key), 0.01)
    assert (await slow).value[13:] == key
    assert proxy.accepted == 1


async def test_a_lost_connection_fails_all_who_wait(
    store: MemcachedStore, proxy: FaultProxy
) -> None:
    keys = await filled(store, 20)
    proxy.fault = "swallowed"
    writes = [
        asyncio.create_task(do(store, store.replace(key, value(2), 60, 1))) for key in keys[:10]
    ]
    reads = [asyncio.create_task(do(store, store.load(key))) for key in keys[10:]]
    await asyncio.sleep(0.05)
    proxy.fault = ""
    proxy.cut()
    for write in writes:
        with pytest.raises(OutcomeUnknown):
            await write
    # A read is simply done again.
    assert [(await read).value[13:] for read in reads] == keys[10:]


async def test_what_was_not_sent_yet_is_sent_on_the_next_connection(
    patient: MemcachedStore, proxy: FaultProxy
) -> None:
    """The connection goes in the same tick in which a write was handed over."""
    await filled(patient, 1)
    key = patient.key("new")
    task = asyncio.create_task(do(patient, patient.create(key, value(7), 60)))
    await asyncio.sleep(0)  # its command is in the batch, which leaves after this
    await patient.aclose()
    assert await task != Exists()
    assert proxy.accepted == 2


async def test_connecting_happens_once_for_all(store: MemcachedStore, proxy: FaultProxy) -> None:
    tasks = [asyncio.create_task(do(store, store.load(store.key("h")))) for _ in range(30)]
    await asyncio.sleep(0)
    for task in tasks[:29]:
        task.cancel()
    # Cancelling those who came first does not cancel the connecting.
    assert await tasks[29] is None
    assert proxy.accepted == 1


async def test_one_refusal_is_told_to_all() -> None:
    with ScriptedMemcached("meta", b"ERROR\r\n", greeting=False) as server:
        store = memcached(server.url())
        results = await asyncio.gather(
            *(do(store, store.load(store.key("h"))) for _ in range(5)), return_exceptions=True
        )
        assert {type(result).__name__ for result in results} == {"StoreRefused"}
        assert len({id(result) for result in results}) == 5
        assert len(server.requests) == 1


async def test_a_reply_that_does_not_fit_fails_all_who_wait(prefix: str) -> None:
    """Those before it have theirs; whose the others would be, nobody knows."""
    asked: list[Asked] = []

    def answer(request: Asked) -> bytes:
        asked.append(request)
        if len(asked) != 10:
            return b"" if len(asked) < 10 else server.miss(request)
        hits = [server.hit(each, value(1, each.key)) for each in asked]
        hits[4:6] = reversed(hits[4:6])
        return b"".join(hits)

    with ScriptedMemcached("meta", answer) as server:
        store = memcached(server.url(), prefix=prefix, timeout=20)
        keys = [store.key(f"{number:016x}") for number in range(10)]
        results = await asyncio.gather(
            *(do(store, store.load(key), 5) for key in keys), return_exceptions=True
        )
        for key, result in zip(keys[:4], results, strict=False):
            assert isinstance(result, Entry)
            assert result.value[13:] == key
        assert {type(result) for result in results[4:]} == {StoreRefused}
        assert await do(store, store.load(keys[0])) is None
        assert server.connections == 2
        await store.aclose()


async def test_closing_while_tasks_wait(store: MemcachedStore, proxy: FaultProxy) -> None:
    (key,) = await filled(store, 1)
    proxy.fault = "swallowed"
    read = asyncio.create_task(do(store, store.load(key)))
    write = asyncio.create_task(do(store, store.delete(key)))
    await asyncio.sleep(0.02)
    proxy.fault = ""
    await store.aclose()
    with pytest.raises(OutcomeUnknown):
        await write
    assert await read is None  # done again after the delete had been executed


async def test_closing_while_connecting(proxy: FaultProxy) -> None:
    proxy.fault = "silent"
    store = memcached(f"memcached://{proxy.address}", timeout=5)
    task = asyncio.create_task(do(store, store.load(store.key("h")), 0.5))
    assert await asyncio.to_thread(proxy.connected.wait, 10)
    await store.aclose()
    with pytest.raises(StoreUnavailable):
        await task
    await store.aclose()


def test_a_loop_that_is_simply_closed(memcached_server: MemcachedServer, prefix: str) -> None:
    """Neither cancelled, nor ``shutdown_asyncgens``, nor ``aclose``: the socket is let go of."""
    store = memcached(memcached_server.url, prefix=prefix, timeout=5)

    def connections() -> int:
        return int(memcached_server.stats()["curr_connections"])

    def become(count: int) -> None:
        memcached_server.child.wait_until(lambda: connections() == count)

    before = connections()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(do(store, store.load(store.key("h"))))
    become(before + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, and deserved
        loop.close()
        store.close()
        del loop
        gc.collect()
    become(before)
