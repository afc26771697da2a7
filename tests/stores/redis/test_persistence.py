"""A server with an append-only file is killed under load and started again on the same files."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sessionstore import SessionConfig, SessionManager, StoreError, open_store
from sessionstore.core.session import Session
from tests.support.children import Child, scratch_directory
from tests.support.servers import answers, redis_program, valkey_program

pytestmark = pytest.mark.once

SECRET = "the signing key of the tests, long enough"
ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
THREADS, TASKS = 4, 8
ACKNOWLEDGED = 400
"""Operations that have been acknowledged when the server is killed."""


class Server:
    """Redis on a Unix socket and on files of its own, which can be killed and started again."""

    def __init__(self, program: str, directory: Path, *options: str) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self._command = [
            *(program, "--port", "0", "--unixsocket", str(self.socket)),
            *("--save", "", "--dir", str(directory), *options),
        ]
        self.url = f"redis+unix://{self.socket}"
        self.start()

    def start(self) -> None:
        self.child = Child(self._command, self.directory)
        self.child.wait_until(lambda: answers(self.socket, b"PING\r\n"))

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is said."""
        self.child.process.kill()
        self.child.process.wait(10)


@contextmanager
def running(*options: str, program: Callable[[], str] = redis_program) -> Iterator[Server]:
    with scratch_directory() as directory:
        server = Server(program(), directory, *options)
        try:
            yield server
        finally:
            server.child.stop()


ENDED = object()


@dataclass
class Known:
    """What is known of one session.

    :param last: the last acknowledged value; ENDED: its destruction was acknowledged
    :param perhaps: what was asked for and not acknowledged, if anything was
    """

    cookie: str
    last: Any
    perhaps: list[Any] = field(default_factory=list)


class Load:
    """Threads and tasks that write sessions through managers, each its own ones."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url, self.prefix = url, prefix
        self.known: list[Known] = []
        self.acknowledged = 0
        self.dead = threading.Event()
        self.enough = threading.Event()
        self._values = itertools.count()
        self._lock = threading.Lock()

    @contextmanager
    def manager(self, timeout: float = 1) -> Iterator[SessionManager]:
        store = open_store(self.url, prefix=self.prefix, timeout=timeout)
        yield SessionManager(store, SessionConfig(secret_key=SECRET))
        store.close()

    def until(self, kill: Callable[[], None]) -> None:
        """Run until so much is acknowledged; kill the server then, and wait for all to notice."""
        with ExitStack() as stack:
            manager = stack.enter_context(self.manager())
            pool = stack.enter_context(ThreadPoolExecutor(THREADS + 1))
            work: list[Future[None]] = [pool.submit(self._thread, manager) for _ in range(THREADS)]
            work.append(pool.submit(lambda: asyncio.run(self._tasks())))
            try:
                assert self.enough.wait(60), [future for future in work if future.done()]
                kill()
            finally:
                self.dead.set()
            for future in work:
                future.result()

    def _steps(self) -> Iterator[tuple[str | None, Callable[[Session], None], Callable[..., None]]]:
        """Cookie, what the request does, and what to do with the outcome: for ever."""
        mine: list[Known] = []
        chance = random.Random(next(self._values))
        while not self.dead.is_set():
            value = next(self._values)
            one = chance.choice(mine) if mine and chance.random() < 0.75 else None
            ends = one is not None and chance.random() < 0.25

            def act(session: Session, value: int = value, ends: bool = ends) -> None:
                if ends:
                    session.logout()
                    return
                session["value"] = value
                session["padding"] = "x" * (value % 500)
                if session.is_new:
                    session.login(f"user {value}")

            asked = ENDED if ends else value

            def settle(
                cookie: str | None, done: bool, one: Known | None = one, asked: Any = asked
            ) -> None:
                self._settle(mine, one, asked, cookie, done)

            yield (one.cookie if one else None), act, settle

    def _settle(
        self, mine: list[Known], one: Known | None, asked: Any, cookie: str | None, done: bool
    ) -> None:
        with self._lock:
            if not done:
                if one is not None:
                    one.perhaps.append(asked)
                    mine.remove(one)
                return
            if one is None:
                assert cookie is not None
                one = Known(cookie, asked)
                mine.append(one)
                self.known.append(one)
            one.last = asked
            if asked is ENDED:
                mine.remove(one)
            self.acknowledged += 1
            if self.acknowledged >= ACKNOWLEDGED:
                self.enough.set()

    def _thread(self, manager: SessionManager) -> None:
        for cookie, act, settle in self._steps():
            try:
                session = manager.open(cookie)
                act(session)
                sent = manager.commit(session)
            except StoreError:
                settle(None, False)
            else:
                settle(sent and sent.value, True)

    async def _tasks(self) -> None:
        with self.manager() as manager:
            await asyncio.gather(*(self._task(manager) for _ in range(TASKS)))
            await manager.store.aclose()

    async def _task(self, manager: SessionManager) -> None:
        for cookie, act, settle in self._steps():
            try:
                session = await manager.aopen(cookie)
                act(session)
                sent = await manager.acommit(session)
            except StoreError:
                settle(None, False)
            else:
                settle(sent and sent.value, True)

    def check(self) -> tuple[list[str], list[str]]:
        """What was lost, and what has come back."""
        lost, back = [], []
        with self.manager(timeout=10) as manager:
            for one in self.known:
                session = manager.open(one.cookie)
                found = session.get("value", ENDED)
                if found not in [one.last, *one.perhaps]:
                    (back if one.last is ENDED else lost).append(f"{one}: has {found}")
        return lost, back


@pytest.mark.parametrize("program", [redis_program, valkey_program])
def test_every_acknowledged_write_survives_a_kill(prefix: str, program: Callable[[], str]) -> None:
    with running(*ALWAYS, program=program) as server:
        loads = []
        for turn in range(3):  # what was written before the last crash must survive this one too
            load = Load(server.url, f"{prefix}-{turn}")
            loads.append(load)
            load.until(server.kill)
            server.start()
            for each in loads:
                assert each.check() == ([], [])
        for load in loads:
            ends = sum(one.last is ENDED for one in load.known)
            assert ends > 10
            assert len(load.known) - ends > 10
            assert any(one.perhaps for one in load.known), "it was killed under load"


def test_without_the_file_the_same_check_finds_the_losses(prefix: str) -> None:
    with running("--appendonly", "no") as server:
        load = Load(server.url, prefix)
        load.until(server.kill)
        server.start()
        lost, _ = load.check()
        assert len(lost) > 10


def test_what_was_ended_after_the_last_snapshot_comes_back(prefix: str) -> None:
    """Which is why `sessionstore doctor` warns of snapshots only; and the check finds it."""
    with running("--appendonly", "no") as server:
        load = Load(server.url, prefix)
        with load.manager() as manager:
            session = manager.open(None)
            session["value"] = 1
            cookie = manager.commit(session)
            assert cookie is not None
            assert cookie.value is not None
            assert answers(server.socket, b"SAVE\r\n")
            session = manager.open(cookie.value)
            session.logout()
            manager.commit(session)
        load.known.append(Known(cookie.value, ENDED))
        server.kill()
        server.start()
        lost, back = load.check()
        assert (len(lost), len(back)) == (0, 1)
