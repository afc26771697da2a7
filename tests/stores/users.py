"""Many who use a store at once, and go on while its servers come and go."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from sessionstore.core.errors import NotReplicated, StoreError
from sessionstore.core.flow import Flow, arun
from sessionstore.stores.base import Store
from sessionstore.testing.driving import value
from tests.stores.carrying import carry


class Users:
    """So many flows at once: each in a thread, or each in a task of one loop."""

    def __init__(self, store: Store, how: str) -> None:
        self._store = store
        self._how = how
        self._threads = ThreadPoolExecutor(64)
        self._loop = asyncio.new_event_loop()
        self._runner = threading.Thread(target=self._loop.run_forever)
        self._runner.start()

    def __call__(self, flow: Flow[Any]) -> Future[Any]:
        if self._how == "sync":
            return self._threads.submit(carry, self._store, "sync", flow)
        return self.start(self.carry(flow))

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Call it in a thread."""
        return self._threads.submit(work)

    def start(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run it in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def carry(self, flow: Flow[Any]) -> Any:
        """Run one flow in the loop."""
        deadline = time.monotonic() + self._store.timeout
        return await arun(flow, lambda command: self._store.aexecute(command, deadline))

    def close(self) -> None:
        """Of the store, too, what belongs to the loop."""
        asyncio.run_coroutine_threadsafe(self._store.aclose(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._runner.join(20)
        self._loop.close()
        self._threads.shutdown()


class Done(NamedTuple):
    """What became of a write and of reading it again."""

    key: bytes
    began: float
    ended: float
    error: StoreError | None


class Load:
    """Threads and tasks that write and read sessions of their own until told to stop.

    Any error but a ``StoreError`` ends the test, and so does a session that reads as another's.
    ``NotReplicated`` counts as done, as it does for a session manager.
    """

    def __init__(self, store: Store, threads: int = 2, tasks: int = 4) -> None:
        self.done: list[Done] = []
        self._store = store
        self._stop = False
        self._users = [Users(store, "sync"), Users(store, "async")]
        self._workers = [
            *(self._users[0].submit(self._work) for _ in range(threads)),
            *(self._users[1].start(self._awork()) for _ in range(tasks)),
        ]

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        try:
            for worker in self._workers:
                worker.result(30)
        finally:
            for users in self._users:
                users.close()

    def since(self, when: float) -> list[Done]:
        """All that began after a time."""
        return [each for each in list(self.done) if each.began > when]

    def errors(self) -> list[StoreError]:
        """All there were."""
        return [each.error for each in list(self.done) if each.error]

    def _work(self) -> None:
        while not self._stop:
            key, began = self._begin()
            try:
                carry(self._store, "sync", self._store.create(key, value(1, key), 60))
                entry = carry(self._store, "sync", self._store.load(key))
            except NotReplicated:
                self._end(key, began, None)
            except StoreError as error:
                self._end(key, began, error)
            else:
                assert entry is None or entry.value[13:] == key
                self._end(key, began, None)

    async def _awork(self) -> None:
        while not self._stop:
            key, began = self._begin()
            try:
                await self._users[1].carry(self._store.create(key, value(1, key), 60))
                entry = await self._users[1].carry(self._store.load(key))
            except NotReplicated:
                self._end(key, began, None)
            except StoreError as error:
                self._end(key, began, error)
            else:
                assert entry is None or entry.value[13:] == key
                self._end(key, began, None)
            await asyncio.sleep(0)

    def _begin(self) -> tuple[bytes, float]:
        return self._store.key(uuid.uuid4().hex[:16]), time.monotonic()

    def _end(self, key: bytes, began: float, error: StoreError | None) -> None:
        ended = time.monotonic()
        self.done.append(Done(key, began, ended, error))
        time.sleep(0.002)  # the machine has other things to do


def connections_to(port: int) -> int:
    """How many TCP connections this process has to a port of loopback."""
    mine = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            mine.add(str(fd.readlink()).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue  # closed meanwhile
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[2].endswith(f":{port:04X}") and line[9] in mine for line in lines)


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def watchers() -> int:
    """How many threads of this process follow topologies."""
    return sum(
        thread.name.startswith(
            ("sessionstore-sentinel", "sessionstore-cluster", "sessionstore-discovery")
        )
        for thread in threading.enumerate()
    )
