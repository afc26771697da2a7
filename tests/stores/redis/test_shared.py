"""The asyncio transport: one connection, many tasks."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from sessionstore.core.errors import OutcomeUnknown, StoreUnavailable
from sessionstore.core.flow import Command, Flow, arun
from sessionstore.core.verbs import Entry
from sessionstore.stores.redis import RedisStore
from sessionstore.stores.url import open_store
from sessionstore.testing import FaultProxy
from sessionstore.testing.driving import value
from tests.support.scripted_redis import ScriptedRedis
from tests.support.servers import RedisServer

TIMEOUT = 0.5


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.socket) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: FaultProxy, prefix: str) -> RedisStore:
    store = open_store(f"redis://{proxy.address}", prefix=prefix, timeout=TIMEOUT)
    assert isinstance(store, RedisStore)
    return store


@pytest.fixture
def patient(proxy: FaultProxy, prefix: str) -> RedisStore:
    """One for which a slow reply is not overdue."""
    store = open_store(f"redis://{proxy.address}", prefix=prefix, timeout=20)
    assert isinstance(store, RedisStore)
    return store


async def do(store: RedisStore, flow: Flow[Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds

    async def execute(command: Command[Any]) -> Any:
        return await store.aexecute(command, deadline)

    return await arun(flow, execute)


async def filled(store: RedisStore, count: int) -> list[bytes]:
    """So many keys, whose values say which they are."""
    keys = [store.key(f"{number:016x}") for number in range(count)]
    await asyncio.gather(*(do(store, store.create(key, value(1, key), 60)) for key in keys))
    return keys


async def test_all_tasks_share_one_connection(patient: RedisStore, proxy: FaultProxy) -> None:
    keys = await filled(patient, 100)
    for _ in range(3):
        entries = await asyncio.gather(*(do(patient, patient.load(key)) for key in keys))
        assert [entry.value[13:] for entry in entries] == keys
    assert proxy.accepted == 1


async def test_commands_of_one_tick_leave_in_one_write(
    patient: RedisStore, proxy: FaultProxy
) -> None:
    keys = await filled(patient, 50)
    proxy.requests.clear()
    await asyncio.gather(*(do(patient, patient.load(key)) for key in keys))
    # Some may be read apart by the proxy, but 50 commands were not 50 packets.
    assert len(proxy.requests) < 5
    assert sum(data.count(b"GET") for data in proxy.requests) == 50


async def test_of_cancelled_tasks_only_the_replies_are_lost(
    patient: RedisStore, proxy: FaultProxy
) -> None:
    """redis-py's CVE-2023-28858 handed one user's data to another here."""
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
    store: RedisStore, proxy: FaultProxy
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


async def test_an_impatient_caller_does_not_cost_the_others_their_connection(
    patient: RedisStore, proxy: FaultProxy
) -> None:
    (key,) = await filled(patient, 1)
    proxy.fault, proxy.delay = "slices", 0.002
    slow = asyncio.create_task(do(patient, patient.load(key)))
    with pytest.raises(StoreUnavailable):
        await do(patient, patient.load(key), 0.01)
    assert (await slow).value[13:] == key
    assert proxy.accepted == 1


async def test_each_waits_until_its_own_deadline(patient: RedisStore, proxy: FaultProxy) -> None:
    """Though one timer is kept for all of them: an earlier deadline may come later."""
    [key] = await filled(patient, 1)
    proxy.fault = "swallowed"
    long = asyncio.create_task(do(patient, patient.load(key), 7))
    await asyncio.sleep(0)

    async def waits(seconds: float) -> float:
        start = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no reply in time"):
            await do(patient, patient.load(key), seconds)
        return time.monotonic() - start

    short = (0.15, 0.05, 0.1)
    for seconds, waited in zip(short, await asyncio.gather(*map(waits, short)), strict=True):
        assert seconds <= waited < 5
    assert not long.done()
    long.cancel()


async def test_a_lost_connection_fails_all_who_wait(store: RedisStore, proxy: FaultProxy) -> None:
    keys = await filled(store, 20)
    proxy.fault = "swallowed"
    writes = [
        asyncio.create_task(do(store, store.replace(key, value(2), 60, value(1)[1:13])))
        for key in keys[:10]
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
    patient: RedisStore, proxy: FaultProxy
) -> None:
    """The connection goes in the same tick in which a write was handed over."""
    await filled(patient, 1)
    key = patient.key("new")
    task = asyncio.create_task(do(patient, patient.create(key, value(7), 60)))
    await asyncio.sleep(0)  # its command is in the batch, which leaves after this
    await patient.aclose()
    assert await task == value(7)[1:13]
    assert proxy.accepted == 2


async def test_connecting_happens_once_for_all(store: RedisStore, proxy: FaultProxy) -> None:
    tasks = [asyncio.create_task(do(store, store.load(store.key("h")))) for _ in range(30)]
    await asyncio.sleep(0)
    for task in tasks[:29]:
        task.cancel()
    # Cancelling those who came first does not cancel the connecting.
    assert await tasks[29] is None
    assert proxy.accepted == 1


async def test_one_refusal_is_told_to_all() -> None:
    with ScriptedRedis(b"-WRONGPASS\r\n") as server:
        store = open_store(f"redis://:x@127.0.0.1:{server.port}")
        assert isinstance(store, RedisStore)
        results = await asyncio.gather(
            *(do(store, store.load(store.key("h"))) for _ in range(5)), return_exceptions=True
        )
        assert {type(result).__name__ for result in results} == {"StoreRefused"}
        assert len({id(result) for result in results}) == 5
        assert len(server.commands) == 1


async def test_closing_while_tasks_wait(store: RedisStore, proxy: FaultProxy) -> None:
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
    store = open_store(f"redis://:x@{proxy.address}", timeout=5)
    assert isinstance(store, RedisStore)
    task = asyncio.create_task(do(store, store.load(store.key("h")), 0.5))
    assert await asyncio.to_thread(proxy.connected.wait, 10)
    await store.aclose()
    with pytest.raises(StoreUnavailable):
        await task
    await store.aclose()


def test_a_loop_that_is_simply_closed(redis_server: RedisServer, prefix: str) -> None:
    """Neither cancelled, nor ``shutdown_asyncgens``, nor ``aclose``: the socket is let go of."""
    store = open_store(redis_server.url, prefix=prefix, timeout=5)
    assert isinstance(store, RedisStore)

    def connections() -> int:
        with redis_server.client() as client:
            return len(client.client_list())

    before = connections()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(do(store, store.load(store.key("h"))))
    assert connections() == before + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, and deserved
        loop.close()
        store.close()
        del loop
        gc.collect()
    assert connections() == before
