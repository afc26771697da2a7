"""``SqlStore``: the verbs as statements, carried by one of the databases."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sessionstore.core.errors import ConfigurationError
from sessionstore.core.flow import Command, Flow, arun, run
from sessionstore.stores.attempts import Attempts, Failure
from sessionstore.stores.base import (
    DEFAULT_PREFIX,
    DEFAULT_TIMEOUT,
    Conflict,
    Deleted,
    Entry,
    Exists,
    Missing,
    Store,
    Version,
)
from sessionstore.stores.facts import SqlFacts
from sessionstore.stores.location import Location
from sessionstore.stores.sql.engine import Database
from sessionstore.stores.sql.failures import TableMissing
from sessionstore.stores.sql.parameters import connection_parameters
from sessionstore.stores.sql.statements import DEFAULT_TABLE

PURGE_TIMEOUT = 30.0
"""Seconds that one batch of a purge may take: nobody waits for it in a request."""


class SqlStore(Store):
    """Sessions in a SQL table."""

    def __init__(
        self,
        database: Database,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        super().__init__(prefix=prefix, timeout=timeout)
        self._database = database
        self._statements = database.statements

    def __repr__(self) -> str:
        return f"<SqlStore {self._database.node} prefix={self.prefix!r}>"

    def load(self, key: bytes) -> Flow[Entry | None]:
        return self._statements.load(key)

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        return self._statements.create(key, value, ttl)

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        return self._statements.replace(key, value, ttl, version)

    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        return self._statements.delete(key, version)

    def server(self) -> Flow[str]:
        """The database's name and version."""
        return self._statements.server()

    def execute(self, command: Command[Any], deadline: float) -> Any:
        attempts = self._attempts(command, deadline)
        while True:
            until = attempts.start(time.monotonic())
            try:
                return self._database.execute(command, until)
            except TableMissing as missing:
                attempts.once(missing)
                run(self._statements.create_table(), lambda ddl: self.execute(ddl, deadline))
                continue
            except Failure as failure:
                pause = attempts.failed(failure, time.monotonic(), random.random())  # noqa: S311 (jitter)
            time.sleep(pause)

    async def aexecute(self, command: Command[Any], deadline: float) -> Any:
        attempts = self._attempts(command, deadline)
        while True:
            until = attempts.start(time.monotonic())
            try:
                return await self._database.aexecute(command, until)
            except TableMissing as missing:
                attempts.once(missing)
                ddl = self._statements.create_table()
                await arun(ddl, lambda command: self.aexecute(command, deadline))
                continue
            except Failure as failure:
                pause = attempts.failed(failure, time.monotonic(), random.random())  # noqa: S311 (jitter)
            await asyncio.sleep(pause)

    def _attempts(self, command: Command[Any], deadline: float) -> Attempts:
        limit = self.timeout * self._database.attempt_share
        return Attempts(deadline, limit, write=command.write, node=self._database.node)

    def purge(self, batch: int = 1000) -> Iterator[int]:
        """Delete expired rows, whatever their prefix, until none is left.

        :param batch: rows per transaction, so that nobody waits long for a lock
        """
        count = batch
        while count == batch:
            count = run(
                self._statements.purge(batch),
                lambda command: self.execute(command, time.monotonic() + PURGE_TIMEOUT),
            )
            yield count

    def keys(self) -> Iterator[bytes]:
        """Every session key, 500 at a time."""
        after, end = self._key_prefix, self._key_prefix[:-1] + b";"
        while keys := run(
            self._statements.keys(after, end),
            lambda command: self.execute(command, time.monotonic() + self.timeout),
        ):
            yield from keys
            after = keys[-1]

    def examine(self) -> Flow[SqlFacts]:
        """How the database is set up."""
        return self._database.examine()

    def close(self) -> None:
        self._database.close()

    async def aclose(self) -> None:
        await self._database.aclose()
        self.close()


def from_location(location: Location, options: dict[str, Any]) -> SqlStore:
    """``sqlite:///file``, ``postgresql+psycopg://...``."""
    table = options.pop("table", DEFAULT_TABLE)
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,47}", table):
        raise ConfigurationError(
            f"{location.scheme}: table={table!r}: use 1 to 48 of a-z, 0-9 and _, not a digit first"
        )
    size = options.pop("max_connections", None)
    if location.scheme == "sqlite":
        database = _sqlite(location, table, size, options)
    else:
        database = _postgresql(location, table, size, options)
    return SqlStore(database, **options)


def _sqlite(location: Location, table: str, size: int | None, options: dict[str, Any]) -> Database:
    from sessionstore.stores.sql.sqlite import SQLite

    if location.hosts or location.username or location.password:
        raise ConfigurationError(
            "sqlite: write sqlite:///relative.db or sqlite:////absolute.db, with three slashes"
        )
    path = Path(location.path[1:])
    if location.path[1:] in {"", ":memory:"}:
        raise ConfigurationError("sqlite: no file is named; for sessions in memory: memory://")
    if not path.parent.is_dir():
        raise ConfigurationError(f"sqlite: there is no directory {str(path.parent)!r}")
    clock = options.pop("clock", time.time)
    return SQLite(path, table, max_connections=size, clock=clock)


def _postgresql(
    location: Location, table: str, size: int | None, options: dict[str, Any]
) -> Database:
    from sessionstore.stores.sql.postgres import PostgreSQL

    return PostgreSQL(
        connection_parameters(location, options),
        table,
        max_connections=size,
        timeout=options.get("timeout", DEFAULT_TIMEOUT),
    )
