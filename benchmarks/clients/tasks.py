"""Runs an asyncio client from one task or many, on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic, perf_counter, process_time
from typing import Any

from benchmarks.clients import CONCURRENCY, OPERATIONS
from benchmarks.clients.values import TTL, Request, key, value
from benchmarks.servers import HOST
from sessionstore import Store, open_store
from sessionstore.core.flow import Command, arun

Do = Callable[[], Awaitable[object]]
Users = Callable[[int], Awaitable[Mapping[str, Do]]]
"""For a user of this number: what ``get`` and ``set`` do."""


class TaskWorker:
    """A client used by some tasks at once.

    :param loop: where all of them run
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, users: Users) -> None:
        self._loop = loop
        self._users = [loop.run_until_complete(users(number)) for number in range(max(CONCURRENCY))]

    def close(self) -> None:
        """End what clients have left running."""
        self._loop.run_until_complete(self._end())

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def fill(self) -> None:
        """Check that what is set can be got."""
        self._loop.run_until_complete(self._fill())

    async def _fill(self) -> None:
        for user in self._users:
            await user["set"]()
            found = await user["get"]()
            assert isinstance(found, bytes) and found[13:] == value(0)[13:], found

    def batch(self, operation: str, concurrency: int, count: int) -> dict[str, Any]:
        """`count` operations by each task."""
        return self._loop.run_until_complete(self._batch(operation, concurrency, count))

    async def _batch(self, operation: str, concurrency: int, count: int) -> dict[str, Any]:
        users = [user[operation] for user in self._users[:concurrency]]
        await asyncio.gather(*(_timed(user, 1) for user in users))
        cpu, start = process_time(), perf_counter()
        took = await asyncio.gather(*(_timed(user, count) for user in users))
        lasted, spent = perf_counter() - start, process_time() - cpu
        wall = [each for one in took for each in one]
        return {"wall": wall, "cpu": spent / len(wall) * 1e6, "rate": len(wall) / lasted}


async def _timed(do: Do, count: int) -> list[float]:
    took = []
    for _ in range(count):
        start = perf_counter()
        await do()
        took.append((perf_counter() - start) * 1e6)
    return took


class _Raw(asyncio.Protocol):
    """One request at a time, whose reply has a known length."""

    def __init__(self) -> None:
        self._reply = b""
        self._length = 0
        self._waiter: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reply += data
        if len(self._reply) >= self._length and self._waiter is not None:
            self._waiter.set_result(self._reply)
            self._waiter = None

    def ask(self, request: Request) -> asyncio.Future[bytes]:
        self._reply = b""
        self._waiter = asyncio.get_running_loop().create_future()
        packed, self._length = request
        self._transport.write(packed)
        return self._waiter


def raw_users(port: int, requests: Callable[[int], dict[str, Request]]) -> Users:
    """A connection for each."""

    async def users(number: int) -> Mapping[str, Do]:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Raw, HOST, port)
        made = requests(number)

        async def get() -> bytes:
            reply = await connection.ask(made["get"])
            return reply[reply.index(b"\r\n") + 2 :][: len(value(0))]

        return {"get": get, "set": lambda: connection.ask(made["set"])}

    return users


def our_users(url: str) -> Users:
    """One store for all, driven as the session manager drives it."""
    store = open_store(url)

    async def users(number: int) -> Mapping[str, Do]:
        return _our_user(store, number)

    return users


def _our_user(store: Store, number: int) -> Mapping[str, Do]:
    name, turn = key(number), 0
    version: Any = None

    def executor() -> Callable[[Command[Any]], Awaitable[Any]]:
        deadline = monotonic() + 5
        return lambda command: store.aexecute(command, deadline)

    async def get() -> bytes:
        entry = await arun(store.load(name), executor())
        assert entry is not None
        return entry.value

    async def put() -> None:
        nonlocal version, turn
        turn += 1
        if version is None:
            version = await arun(store.create(name, value(turn), TTL), executor())
        else:
            version = await arun(store.replace(name, value(turn), TTL, version), executor())
        assert isinstance(version, bytes | int), version

    return {OPERATIONS[0]: get, OPERATIONS[1]: put}
