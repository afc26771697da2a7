"""A password that is rotated while threads and tasks use the store: ROTATE, the file, SET."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from sessionstore.core.flow import Command, Flow, arun, run
from sessionstore.core.verbs import Deleted, Entry
from sessionstore.stores.base import Store

THREADS = 4
TASKS = 20
PATIENCE = 30
"""Seconds for one step of a rotation, on a machine that is busy."""


@dataclass
class Report:
    """What came of it.

    :param sync: requests that did all their four commands, from threads
    :param asynchronous: and from tasks
    :param errors: of requests that did not
    :param connections: opened by the store meanwhile
    """

    sync: int = 0
    asynchronous: int = 0
    errors: list[BaseException] = field(default_factory=list)
    connections: int = 0


class Load:
    """Requests from threads and from tasks at once; each its own session, made and ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self.report = Report()

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the load is on."""
        threads = [threading.Thread(target=self._sync) for _ in range(THREADS)]
        threads += [threading.Thread(target=self._loops), threading.Thread(target=self._reconnect)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _sync(self) -> None:
        while not self._stopping.is_set():
            try:
                deadline = time.monotonic() + self._store.timeout
                run(self._request(), lambda command: self._store.execute(command, deadline))  # noqa: B023
                self.report.sync += 1
            except Exception as error:  # noqa: BLE001 - this is what is counted
                self.report.errors.append(error)

    def _loops(self) -> None:
        while not self._stopping.is_set():
            # Another event loop each time: another connection.
            asyncio.run(self._tasks())

    async def _tasks(self) -> None:
        until = time.monotonic() + 0.1
        await asyncio.gather(*(self._task(until) for _ in range(TASKS)))
        await self._store.aclose()

    async def _task(self, until: float) -> None:
        while time.monotonic() < until:
            deadline = time.monotonic() + self._store.timeout

            async def execute(command: Command[Any], deadline: float = deadline) -> Any:
                return await self._store.aexecute(command, deadline)

            try:
                await arun(self._request(), execute)
                self.report.asynchronous += 1
            except Exception as error:  # noqa: BLE001 - this is what is counted
                self.report.errors.append(error)

    def _reconnect(self) -> None:
        # An idle connection is closed, one in use when its command is done.
        while not self._stopping.wait(0.02):
            self._store.close()

    def _request(self) -> Flow[None]:
        store, number = self._store, next(self._numbers)
        key = store.key(f"{number:016x}")
        first, second = (b"\x01" + bytes([part]) * 12 + b"data" for part in (1, 2))
        version = yield from store.create(key, first, 60)
        assert version == first[1:13]
        assert (yield from store.load(key)) == Entry(first, first[1:13])
        assert (yield from store.replace(key, second, 60, first[1:13])) == second[1:13]
        assert isinstance((yield from store.delete(key)), Deleted)


def rotate(client: redis.Redis, user: str, old: str, new: str, secret: Path, load: Load) -> None:
    """One rotation, with requests and new connections at each of its steps.

    :param client: of an administrator
    :param secret: the file that the store's credentials come from
    """
    client.execute_command("ACL", "SETUSER", user, f">{new}")
    _progress(client, load)
    fresh = secret.with_name("fresh")
    fresh.write_text(new)
    fresh.replace(secret)
    _progress(client, load)
    client.execute_command("ACL", "SETUSER", user, f"<{old}")
    _progress(client, load)


def _progress(client: redis.Redis, load: Load) -> None:
    """Until each kind has done more, by connections that were opened since."""
    report = load.report
    sync, asynchronous, opened = report.sync, report.asynchronous, _opened(client)
    deadline = time.monotonic() + PATIENCE
    while not (
        report.sync > sync + 10
        and report.asynchronous > asynchronous + 10
        and _opened(client) > opened + 2
    ):
        if report.errors or time.monotonic() > deadline:
            return
        time.sleep(0.01)


def _opened(client: redis.Redis) -> int:
    stats: Any = client.info("stats")
    return int(stats["total_connections_received"])


def drill(client: redis.Redis, store: Store, user: str, secret: Path, rounds: int) -> Report:
    """So many rotations under load. The file's password must be the user's.

    :param client: of an administrator
    """
    load = Load(store)
    before = _opened(client)
    with load.running():
        for number in range(rounds):
            rotate(client, user, secret.read_text(), f"password-{number}", secret, load)
            if load.report.errors:
                break
    load.report.connections = _opened(client) - before
    return load.report
