"""SQLite: the embedded default. One file, any number of processes on one machine.

asyncio code waits for a thread that runs the blocking engine. aiosqlite does the same underneath,
with a hop between threads for each of cursor, execute, fetch and close; here it is one, and a
cancelled task leaves no connection half used.
"""

from __future__ import annotations

import asyncio
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, bindparam, create_engine, func
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection
from sqlalchemy.pool import QueuePool

from sessionstore.core.errors import ConfigurationError
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.attempts import Failure, refused, unavailable
from sessionstore.stores.facts import SqlFacts
from sessionstore.stores.lateness import NoThread
from sessionstore.stores.sql.engine import ENGINE_OPTIONS, Database
from sessionstore.stores.sql.examination import examine_sqlite
from sessionstore.stores.sql.failures import from_sqlite
from sessionstore.stores.sql.statements import Rows, Statements

DEFAULT_MAX_CONNECTIONS = 16
NEEDED = (3, 35, 0)
"""SQLite's RETURNING, from 2021."""

_GRACE = 0.1
"""Seconds after a deadline in which a thread may still say that the lock was not to be had. Without
it a write that was certainly not executed would have an unknown outcome."""

# Of the module, since two stores in one process may name one file.
_creating = threading.Lock()


class SQLite(Database):
    """One database file.

    :param path: of the file; made with mode 0600 if missing
    :param clock: seconds since the epoch; a test passes its own
    """

    # A lock that is held is waited for; connecting anew would not get it sooner.
    attempt_share = 1.0

    def __init__(
        self,
        path: Path,
        table: str,
        *,
        max_connections: int | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if sqlite3.sqlite_version_info < NEEDED:
            raise ConfigurationError(
                f"sqlite: this Python has SQLite {sqlite3.sqlite_version}; 3.35 or later is needed"
            )
        self._path = path
        size = max_connections or DEFAULT_MAX_CONNECTIONS
        engine = create_engine(
            "sqlite://", creator=self._open, poolclass=QueuePool, pool_size=size, **ENGINE_OPTIONS
        )
        # The processes that share a file share a machine, and so its clock.
        now: Any = bindparam(
            "now", type_=BigInteger, callable_=lambda: math.floor(clock() * 1000), unique=False
        )
        version = ("SQLite " + func.sqlite_version()).label("version")
        statements = Statements(table, insert, now, version)
        super().__init__(path.name, statements, engine, size)
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def _open(self) -> sqlite3.Connection:
        # Closing *any* descriptor of a file drops all POSIX locks that this process has on it. With
        # SQLite's own dropped, another process that leaves deletes the log which we still write
        # to. So the file is opened by SQLite only, but for the moment in which it is made.
        with _creating, suppress(OSError):  # it is there; or SQLite says what is wrong
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(self._path, flags, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            # Readers and the writer do not wait for each other; and with NORMAL, a power cut (not
            # a crash of the process) can undo the last commits, without damage to the file.
            connection.execute("PRAGMA journal_mode = WAL").close()
            connection.execute("PRAGMA synchronous = NORMAL").close()
        except BaseException:
            connection.close()
            raise
        return connection

    def execute(self, command: Command[Any], until: float) -> Rows:
        try:
            return super().execute(command, until)
        except sqlite3.Error as error:
            raise self.explain_driver(error) from None

    def prepare(self, connection: Connection, until: float) -> None:
        milliseconds = max(0, math.ceil((until - time.monotonic()) * 1000))
        raw: Any = connection.connection.dbapi_connection
        raw.execute(f"PRAGMA busy_timeout = {milliseconds}").close()

    async def aexecute(self, command: Command[Any], until: float) -> Rows:
        work = self._submit(command, until)
        waiter = asyncio.wrap_future(work)
        try:
            # A little longer than the thread itself waits, so that its own, exact answer comes.
            await asyncio.wait({waiter}, timeout=max(until - time.monotonic(), 0) + _GRACE)
            if waiter.done():
                return waiter.result()
        finally:
            # The thread goes on if it has begun, and puts its connection back by itself.
            started = not work.cancel()
            waiter.cancel()
        raise unavailable("no answer in time", self.node, lost=started)

    def _submit(self, command: Command[Any], until: float) -> Future[Rows]:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._size, "sessionstore-sqlite")
            try:
                return self._threads.submit(self.execute, command, until)
            except RuntimeError:
                # It is in the queue all the same, for threads that there are.
                raise unavailable(str(NoThread()), self.node, lost=True, silent=False) from None

    def explain_driver(self, error: BaseException) -> Failure:
        if not isinstance(error, sqlite3.Error):
            return refused(f"SQLite failed: {type(error).__name__}", self.node, lost=True)
        return from_sqlite(getattr(error, "sqlite_errorcode", None), str(error), self.node)

    def examine(self) -> Flow[SqlFacts]:
        return examine_sqlite(self.statements)

    def after_fork(self) -> None:
        global _creating
        super().after_fork()
        self._threads = None
        self._lock, _creating = threading.Lock(), threading.Lock()

    def close(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
        super().close()
