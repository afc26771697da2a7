"""PostgreSQL by psycopg 3: a blocking engine, and an asyncio one per event loop.

What bounds the time: waiting for a connection, connecting (in a thread, since libpq rounds its
timeout up to 2 s and resolves names without one) and every wait for the server end by the
deadline; ``lock_timeout`` makes the server itself give up a statement that waits for a row, so
that it is not executed much later. What does not: a statement that the server is executing when
the deadline passes may still be executed (``OutcomeUnknown``).
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg import waiting
from sqlalchemy import BigInteger, cast, create_engine, event, exc, func, literal
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sessionstore.core.flow import Command, Flow
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.facts import SqlFacts
from sessionstore.stores.lateness import NoThread, call_by
from sessionstore.stores.lifetime import PerLoop
from sessionstore.stores.sql.engine import ENGINE_OPTIONS, Database, execute
from sessionstore.stores.sql.examination import examine_postgres
from sessionstore.stores.sql.failures import connecting_to_postgres, from_postgres
from sessionstore.stores.sql.statements import Rows, Statements

DEFAULT_MAX_CONNECTIONS = 16
STATEMENT_TIMEOUT = 30
"""Seconds after which the server gives any statement up, purging included."""

_INTERVAL = 0.1
_deadlines = threading.local()


def _bounded(gen: Any, pgconn: Any, until: float) -> Generator[Any, Any, Any]:
    """psycopg's protocol generator, ended by a deadline."""
    try:
        wanted = next(gen)
        while True:
            wanted = gen.send((yield wanted))
            if time.monotonic() >= until:
                # Half a conversation: this connection cannot be used for another.
                pgconn.finish()
                raise psycopg.OperationalError("the deadline has passed")
    except StopIteration as stop:
        return stop.value


class _Blocking(psycopg.Connection[Any]):
    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        now = time.monotonic()
        # Outside of a command, as when the pool closes it, a second will do.
        until = getattr(_deadlines, "until", now + 1)
        interval = min(_INTERVAL, max(until - now, 0.001))
        return super().wait(_bounded(gen, self.pgconn, until), interval=interval)


class _Async(psycopg.AsyncConnection[Any]):
    async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=_INTERVAL)
        except asyncio.CancelledError:
            # psycopg would first ask the server to cancel, and wait for it up to 5 s.
            self.pgconn.finish()
            raise


class PostgreSQL(Database):
    """One PostgreSQL database.

    :param parameters: libpq's connection parameters
    :param timeout: the store's, in seconds
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        table: str,
        *,
        max_connections: int | None,
        timeout: float,
    ) -> None:
        self._parameters = {"connect_timeout": 2, "application_name": "sessionstore", **parameters}
        self._timeout = timeout
        size = max_connections or DEFAULT_MAX_CONNECTIONS
        engine = create_engine(
            "postgresql+psycopg://", creator=self._connect, pool_size=size, **ENGINE_OPTIONS
        )
        _watch(engine)
        # The server's clock, since the machines of its clients may disagree.
        epoch = func.extract("epoch", func.statement_timestamp())
        now: Any = cast(epoch * 1000, BigInteger)
        version: Any = literal("PostgreSQL ") + func.current_setting("server_version")
        node = f"{parameters.get('host', 'local')}:{parameters.get('port', 5432)}"
        super().__init__(node, Statements(table, insert, now, version), engine, size)
        self._lanes = PerLoop(lambda: _Lane(self, size))

    def _settings(self) -> str:
        return (
            f"SET lock_timeout = {max(1, int(self._timeout * 1000))};"
            f"SET statement_timeout = {STATEMENT_TIMEOUT * 1000}"
        )

    def _connect(self) -> psycopg.Connection[Any]:
        until: float = _deadlines.until

        def connect() -> psycopg.Connection[Any]:
            _deadlines.until = until
            connection = _Blocking.connect(**self._parameters, autocommit=True)
            connection.execute(self._settings().encode())
            return connection

        try:
            return call_by(until, connect, lambda late: late.close())
        except TimeoutError:
            raise unavailable("timed out while connecting", self.node) from None
        except NoThread as error:
            raise unavailable(f"cannot connect: {error}", self.node, silent=False) from None
        except psycopg.Error as error:
            raise connecting_to_postgres(str(error), self.node) from None

    async def aconnect(self) -> psycopg.AsyncConnection[Any]:
        """A new connection for the running loop."""
        try:
            connection = await _Async.connect(**self._parameters, autocommit=True)
            await connection.execute(self._settings().encode())
        except RuntimeError:  # for the name lookup
            raise unavailable(f"cannot connect: {NoThread()}", self.node, silent=False) from None
        except psycopg.Error as error:
            raise connecting_to_postgres(str(error), self.node) from None
        return connection

    def execute(self, command: Command[Any], until: float) -> Rows:
        _deadlines.until = until
        try:
            return super().execute(command, until)
        finally:
            del _deadlines.until

    async def aexecute(self, command: Command[Any], until: float) -> Rows:
        return await self._lanes.get().execute(command, until)

    def explain_driver(self, error: BaseException) -> Failure:
        return from_postgres(getattr(error, "sqlstate", None), self.node)

    def examine(self) -> Flow[SqlFacts]:
        verified = self._parameters.get("sslmode") == "verify-full"
        return examine_postgres(self.statements, self._parameters["host"], verified=verified)

    def close(self) -> None:
        super().close()
        self._lanes.sweep()

    async def aclose(self) -> None:
        await self._lanes.aclose()


class _Lane:
    """One event loop's engine."""

    def __init__(self, database: PostgreSQL, size: int) -> None:
        self._database = database
        self._pid = os.getpid()
        self._connections: list[psycopg.AsyncConnection[Any]] = []
        self._running: set[asyncio.Task[Rows]] = set()
        self._engine: AsyncEngine = create_async_engine(
            "postgresql+psycopg_async://",
            async_creator=self._connect,
            pool_size=size,
            **ENGINE_OPTIONS,
        )
        _watch(self._engine.sync_engine)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await self._database.aconnect()
        self._connections = [known for known in self._connections if not known.closed]
        self._connections.append(connection)
        return connection

    async def execute(self, command: Command[Any], until: float) -> Rows:
        """One attempt, which ends in time whatever becomes of the statement."""
        sent: list[bool] = []
        task = asyncio.get_running_loop().create_task(self._run(command, sent))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await asyncio.wait({task}, timeout=max(until - time.monotonic(), 0))
            if task.done():
                return task.result()
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise unavailable("no answer in time", self._database.node, lost=bool(sent))

    async def _run(self, command: Command[Any], sent: list[bool]) -> Rows:
        try:
            async with self._engine.connect() as connection:
                sent.append(True)
                return await connection.run_sync(execute, command)
        except exc.SQLAlchemyError as error:
            raise self._database.explain(error) from None

    async def aclose(self) -> None:
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        await self._engine.dispose()

    def abandon(self) -> None:
        # In a forked child, "finish" would say goodbye to the server in the parent's name.
        if os.getpid() == self._pid:
            for connection in self._connections:
                connection.pgconn.finish()


def _watch(engine: Engine) -> None:
    """Do not use what died in the pool: a write on it would have an unknown outcome."""

    @event.listens_for(engine, "checkout")
    def check(connection: Any, record: Any, proxy: Any) -> None:
        pgconn = getattr(connection, "driver_connection", connection).pgconn
        # An idle connection has nothing to say: if it is readable, the server has closed it.
        if hasattr(select, "poll") and pgconn.status == psycopg.pq.ConnStatus.OK:
            poll = select.poll()
            poll.register(pgconn.socket, select.POLLIN)
            if not poll.poll(0):
                return
        raise exc.InvalidatePoolError

    @event.listens_for(engine, "handle_error")
    def keep_the_others(context: Any) -> None:
        context.invalidate_pool_on_disconnect = False
