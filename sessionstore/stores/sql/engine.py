"""What the databases have in common: how a command becomes a statement that is executed."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from sessionstore.core.flow import Command, Flow
from sessionstore.stores.attempts import ATTEMPT_SHARE, Failure, refused, unavailable
from sessionstore.stores.facts import SqlFacts
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.sql.statements import Rows, Statements

ENGINE_OPTIONS: dict[str, Any] = {
    # Every command is one statement: no BEGIN and COMMIT round trips around it.
    "isolation_level": "AUTOCOMMIT",
    "pool_use_lifo": True,
    "max_overflow": 0,
    # Neither in SQLAlchemy's log nor in the text of its errors.
    "hide_parameters": True,
}


class Database(ABC):
    """Carries a store's commands to one database: one attempt at a time.

    :param engine: for blocking code; shared by threads
    :param size: the most connections it opens
    """

    attempt_share = ATTEMPT_SHARE
    """Of the store's timeout, for one attempt."""

    def __init__(self, node: str, statements: Statements, engine: Engine, size: int) -> None:
        self.node = node
        self.statements = statements
        self._engine = engine
        self._size = size
        self._parents: list[Any] = []
        self._slots = threading.BoundedSemaphore(size)
        forget_after_fork(self)

    def after_fork(self) -> None:
        """In the child: new connections. The parent's are kept, because closing them speaks."""
        self._slots = threading.BoundedSemaphore(self._size)
        self._parents.append(self._engine.pool)
        self._engine.dispose(close=False)

    @contextmanager
    def connection(self, until: float) -> Iterator[Connection]:
        """A connection whose every wait ends then."""
        # Counted here, because the pool's own timeout is the same for everyone.
        if not self._slots.acquire(timeout=max(until - time.monotonic(), 0)):
            raise unavailable(
                f"all {self._size} connections are in use (max_connections)", self.node
            )
        pool = self._engine.pool
        try:
            with self._engine.connect() as connection:
                self.prepare(connection, until)
                yield connection
        finally:
            self._slots.release()
            if self._engine.pool is not pool:
                # Closed meanwhile: what has just gone back to the old pool would stay open there.
                pool.dispose()

    def prepare(self, connection: Connection, until: float) -> None:
        """Tell a connection how long it may take."""
        return

    def execute(self, command: Command[Any], until: float) -> Rows:
        """One attempt.

        :raises Failure: how it ended
        """
        try:
            with self.connection(until) as connection:
                return execute(connection, command)
        except exc.SQLAlchemyError as error:
            raise self.explain(error) from None

    @abstractmethod
    async def aexecute(self, command: Command[Any], until: float) -> Rows:
        """:meth:`execute`, for asyncio."""

    def explain(self, error: exc.SQLAlchemyError) -> Failure:
        """What an error of SQLAlchemy means."""
        if isinstance(error, exc.DBAPIError) and error.orig is not None:
            return self.explain_driver(error.orig)
        if isinstance(error, exc.TimeoutError):
            return unavailable("no free connection in the pool", self.node)
        if isinstance(error, exc.InvalidRequestError | exc.ResourceClosedError):
            return unavailable("the connection was lost", self.node, lost=True)
        return refused(f"the database failed: {type(error).__name__}", self.node, lost=True)

    @abstractmethod
    def explain_driver(self, error: BaseException) -> Failure:
        """What an error of the database's driver means."""

    @abstractmethod
    def examine(self) -> Flow[SqlFacts]:
        """How the database is set up."""

    def close(self) -> None:
        """Close what is idle; this may be used again."""
        self._engine.dispose()

    async def aclose(self) -> None:
        """Close what belongs to the running event loop."""
        return


def execute(connection: Connection, command: Command[Any]) -> Rows:
    """Run a command's statement and fetch all of its rows."""
    _, statement, parameters = command.request
    result = connection.execute(statement, parameters)
    return [tuple(row) for row in result.all()] if result.returns_rows else []
