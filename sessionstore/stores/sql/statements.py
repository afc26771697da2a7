"""The table, and the four verbs as flows of SQL statements.

Every command is one statement in a transaction of its own, which is atomic. Compare-and-set is an
``UPDATE ... WHERE revision = ...``; only if that changed nothing does a ``SELECT`` follow, to tell
why. A revision never repeats, so the entry found then is truly another writer's.

A request is ``(name, statement, parameters)``; the reply is the list of rows. Times are integers:
milliseconds since the epoch, by the clock that the database's driver gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sessionstore.core.expiry import MAX_LIFETIME
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import (
    REVISION,
    Conflict,
    Deleted,
    Entry,
    Exists,
    Missing,
    Version,
)
from sessionstore.stores.facts import COUNT_LIMIT

Rows = list[tuple[Any, ...]]
DEFAULT_TABLE: Final = "sessionstore_sessions"


class Statements:
    """The verbs over one table of one kind of database.

    :param table: the table's name
    :param insert: the dialect's ``insert``, which knows ``ON CONFLICT``
    :param now: the time now, in SQL; it may have a parameter ``now``
    :param version: what selects the server's name and version
    """

    def __init__(
        self,
        table: str,
        insert: Callable[[Table], Any],
        now: ColumnElement[int],
        version: ColumnElement[str],
    ) -> None:
        # "C": compared byte by byte, whatever the database's own collation does with case.
        text = Text().with_variant(Text(collation="C"), "postgresql")
        self.table: Final = Table(
            table,
            MetaData(),
            Column("key", text, primary_key=True),
            Column("revision", LargeBinary, nullable=False),
            Column("value", LargeBinary, nullable=False),
            Column("expires", BigInteger, nullable=False),
        )
        column = self.table.c
        self._index = Index(f"{table}_expires", column.expires)
        this = (column.key == bindparam("id"), column.expires > now)
        unchanged = column.revision == bindparam("version", type_=LargeBinary)
        row = {
            "revision": bindparam("new_revision", type_=LargeBinary),
            "value": bindparam("new_value", type_=LargeBinary),
            "expires": now + bindparam("ttl", type_=BigInteger),
        }
        fresh = insert(self.table).values(key=bindparam("id"), **row)
        self._load = select(column.value).where(*this)
        self._create = fresh.on_conflict_do_update(
            index_elements=[column.key],
            set_={name: fresh.excluded[name] for name in row},
            where=column.expires <= now,
        ).returning(literal(1))
        self._replace = update(self.table).where(*this, unchanged).values(row).returning(literal(1))
        self._delete = delete(self.table).where(*this).returning(literal(1))
        self._delete_if = delete(self.table).where(*this, unchanged).returning(literal(1))
        self._prepare_upkeep(now)
        self._version = select(version)

    def _prepare_upkeep(self, now: ColumnElement[int]) -> None:
        column = self.table.c
        dead = select(column.key).where(column.expires <= now).limit(bindparam("batch"))
        # Asked again outside: between the two, a row may have been created anew.
        self._purge = (
            delete(self.table)
            .where(column.key.in_(dead), column.expires <= now)
            .returning(literal(1))
        )
        waiting = (
            select(column.expires)
            .where(column.expires <= now)
            .order_by(column.expires)
            .limit(COUNT_LIMIT)
            .subquery()
        )
        self._expired = select(func.count(), now - func.min(waiting.c.expires)).select_from(waiting)
        self._keys = (
            select(column.key)
            .where(
                column.key > bindparam("after"),
                column.key < bindparam("end"),
                column.expires > now,
            )
            .order_by(column.key)
            .limit(500)
        )

    def load(self, key: bytes) -> Flow[Entry | None]:
        """The current entry."""
        parameters = {"id": key.decode("ascii")}
        return (yield from Command(("SELECT", self._load, parameters), _entry, key=key))

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        """Insert, or take over an expired row."""
        parameters = {"id": key.decode("ascii"), **_row(value, ttl)}
        created = yield from _write("INSERT", self._create, parameters, key)
        return value[REVISION] if created else Exists()

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        """Compare-and-set."""
        parameters = {"id": key.decode("ascii"), "version": version, **_row(value, ttl)}
        if (yield from _write("UPDATE", self._replace, parameters, key)):
            return value[REVISION]
        return (yield from self._why_not(key))

    def delete(self, key: bytes, version: Version | None) -> Flow[Deleted | Conflict | Missing]:
        """Delete, or compare-and-delete."""
        parameters: dict[str, Any] = {"id": key.decode("ascii")}
        if version is None:
            deleted = yield from _write("DELETE", self._delete, parameters, key)
            return Deleted() if deleted else Missing()
        parameters["version"] = version
        if (yield from _write("DELETE", self._delete_if, parameters, key)):
            return Deleted()
        return (yield from self._why_not(key))

    def _why_not(self, key: bytes) -> Flow[Conflict | Missing]:
        entry = yield from self.load(key)
        return Missing() if entry is None else Conflict(entry)

    def server(self) -> Flow[str]:
        """The database's name and version."""
        return (yield from Command(("SELECT", self._version, {}), _text))

    def purge(self, batch: int) -> Flow[int]:
        """Delete at most ``batch`` expired rows, whoever's they are; returns how many."""
        parameters = {"batch": batch}
        return (yield from Command(("PURGE", self._purge, parameters), len, write=True))

    def keys(self, after: bytes, end: bytes) -> Flow[list[bytes]]:
        """The next 500 keys between these two."""
        parameters = {"after": after.decode("ascii"), "end": end.decode("ascii")}
        rows: Rows = yield from Command(("SELECT", self._keys, parameters))
        return [key.encode("ascii") for (key,) in rows]

    def expired(self) -> Flow[tuple[int, float | None]]:
        """How many rows have expired, up to ``COUNT_LIMIT``, and how many seconds ago the first."""
        rows: Rows = yield from Command(("SELECT", self._expired, {}))
        count, oldest = rows[0]
        return count, None if oldest is None else oldest / 1000

    def create_table(self) -> Flow[None]:
        """Make the table and its index, unless they are there."""
        for ddl in (
            CreateTable(self.table, if_not_exists=True),
            CreateIndex(self._index, if_not_exists=True),
        ):
            yield from Command(("CREATE", ddl, {}))


def _write(name: str, statement: Any, parameters: dict[str, Any], key: bytes) -> Flow[bool]:
    return (yield from Command((name, statement, parameters), bool, key=key, write=True))


def _row(value: bytes, ttl: float) -> dict[str, Any]:
    milliseconds = max(1, int(min(ttl, MAX_LIFETIME) * 1000))
    return {"new_revision": value[REVISION], "new_value": value, "ttl": milliseconds}


def _entry(rows: Rows) -> Entry | None:
    if not rows:
        return None
    value = bytes(rows[0][0])
    return Entry(value, value[REVISION])


def _text(rows: Rows) -> str:
    return str(rows[0][0])
