"""Runs a synchronous client from one thread or many."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, perf_counter, process_time
from typing import Any

from benchmarks.clients import CONCURRENCY, OPERATIONS
from benchmarks.clients.values import TTL, Request, key, value
from benchmarks.servers import HOST
from sessionstore import Store, open_store
from sessionstore.core.flow import Command, run

Do = Callable[[], object]
Users = Callable[[int], Mapping[str, Do]]
"""For a user of this number: what ``get`` and ``set`` do."""


class ThreadedWorker:
    """A client used by some threads at once."""

    def __init__(self, users: Users) -> None:
        self._users = [users(number) for number in range(max(CONCURRENCY))]
        self._pool = ThreadPoolExecutor(max(CONCURRENCY))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def fill(self) -> None:
        """Check that what is set can be got."""
        for user in self._users:
            user["set"]()
            found = user["get"]()
            assert isinstance(found, bytes) and found[13:] == value(0)[13:], found

    def batch(self, operation: str, concurrency: int, count: int) -> dict[str, Any]:
        """`count` operations by each thread."""
        ready = threading.Barrier(concurrency + 1)

        def user(number: int) -> list[float]:
            do = self._users[number][operation]
            do()
            ready.wait()
            return _timed(do, count)

        threads = [self._pool.submit(user, number) for number in range(concurrency)]
        ready.wait()
        cpu, start = process_time(), perf_counter()
        wall = [took for thread in threads for took in thread.result()]
        lasted, spent = perf_counter() - start, process_time() - cpu
        return {"wall": wall, "cpu": spent / len(wall) * 1e6, "rate": len(wall) / lasted}


def _timed(do: Do, count: int) -> list[float]:
    took = []
    for _ in range(count):
        start = perf_counter()
        do()
        took.append((perf_counter() - start) * 1e6)
    return took


def raw_users(port: int, requests: Callable[[int], dict[str, Request]]) -> Users:
    """A connected socket for each."""

    def users(number: int) -> Mapping[str, Do]:
        connection = socket.create_connection((HOST, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made = requests(number)

        def ask(operation: str) -> bytes:
            request, length = made[operation]
            connection.sendall(request)
            reply = connection.recv(65536)
            while len(reply) < length:
                reply += connection.recv(65536)
            return reply

        def get() -> bytes:
            reply = ask("get")
            return reply[reply.index(b"\r\n") + 2 :][: len(value(0))]

        # What finds the value within the reply is for the check alone, and costs next to nothing.
        return {"get": get, "set": lambda: ask("set")}

    return users


def our_users(url: str) -> Users:
    """One store for all, driven as the session manager drives it."""
    store = open_store(url)
    return lambda number: _our_user(store, number)


def _our_user(store: Store, number: int) -> Mapping[str, Do]:
    name, turn = key(number), 0
    version: Any = None

    def executor() -> Callable[[Command[Any]], Any]:
        deadline = monotonic() + 5
        return lambda command: store.execute(command, deadline)

    def get() -> bytes:
        entry = run(store.load(name), executor())
        assert entry is not None
        return entry.value

    def put() -> None:
        nonlocal version, turn
        turn += 1
        if version is None:
            version = run(store.create(name, value(turn), TTL), executor())
        else:
            version = run(store.replace(name, value(turn), TTL, version), executor())
        assert isinstance(version, bytes | int), version

    return {OPERATIONS[0]: get, OPERATIONS[1]: put}
