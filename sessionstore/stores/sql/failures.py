"""What the databases' errors mean. No message quotes the database: it may quote parameters.

SQLite names errors by a result code, PostgreSQL by an SQLSTATE; PostgreSQL's refusals while
connecting have neither, so there the text decides, and what is not recognised may be tried again.
"""

from __future__ import annotations

import re
from typing import Final

from sessionstore.core.errors import StoreFull, StoreRefused, StoreUnavailable
from sessionstore.stores.attempts import Failure, refused, unavailable


class TableMissing(Failure):
    """The statement was not executed, for want of the table."""


def _full(text: str, node: str) -> Failure:
    return Failure(StoreFull(text, node=node), retry=False, broken=False)


def _busy(text: str, node: str) -> Failure:
    return Failure(StoreUnavailable(text, node=node), broken=False)


def from_sqlite(code: int | None, text: str, node: str) -> Failure:
    """From SQLite's primary result code (https://www.sqlite.org/rescode.html)."""
    match None if code is None else code & 0xFF:
        case 1 if "no such table" in text:
            return TableMissing(StoreRefused("the sessions table is missing", node=node))
        case 5 | 6:
            return _busy("the database is locked by another writer", node)
        case 13:
            return _full("the disk is full", node)
        case 3 | 8 | 23:
            return refused("no permission to write to the database file", node)
        case 11 | 26:
            return refused("the file is damaged or is not a SQLite database", node)
        case 14:
            return refused("the database file cannot be opened", node)
        case 10:
            return unavailable("a disk I/O error", node, lost=True)
        case number:
            return refused(f"SQLite failed (code {number})", node, lost=number is None)


_REFUSED_LOGIN: Final = re.compile(
    r"password|authentication|no pg_hba|does not exist|permission denied|certificate|SSL|GSSAPI"
)


def connecting_to_postgres(text: str, node: str) -> Failure:
    """From the text of libpq's error; nothing was sent."""
    if "certificate" in text:
        return refused("TLS: the certificate was not accepted", node)
    if _REFUSED_LOGIN.search(text):
        return refused("the log-in was refused", node)
    return unavailable("cannot connect", node)


def from_postgres(state: str | None, node: str) -> Failure:
    """From an SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
    if state is None or state[:2] == "08" or state in {"57P01", "57P02"}:
        return unavailable("the connection was lost", node, lost=True)
    match state:
        case "42P01":
            return TableMissing(StoreRefused("the sessions table is missing", node=node))
        case "23505" | "42P07" | "42710":
            # CREATE ... IF NOT EXISTS is not safe against itself. The next attempt sees it.
            return _busy("another process made the table at the same moment", node)
        case "25006":
            return unavailable("the server is a read-only standby", node)
        case "57014" | "55P03":
            return _busy("the server gave the statement up", node)
        case "40001" | "40P01":
            return _busy("the statement met another", node)
        case "53300" | "57P03":
            return unavailable("the server takes no connections now", node)
        case "53100" | "53200":
            return _full(f"the server is out of space (SQLSTATE {state})", node)
        case "42501":
            return refused("the user lacks a permission", node)
    if state[:2] in {"28", "3D"}:
        return refused("the log-in was refused", node)
    return refused(f"the server answered with an error (SQLSTATE {state})", node)
