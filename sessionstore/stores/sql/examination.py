"""What a database tells of how it is set up, as flows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from sessionstore.core.flow import Command, Flow
from sessionstore.stores.facts import Link, SqlFacts
from sessionstore.stores.sql.statements import Rows, Statements

# pg_stat_ssl shows every user its own connection.
_POSTGRES = text(
    "SELECT (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()),"
    " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),"
    " pg_is_in_recovery()"
)


def examine_sqlite(statements: Statements) -> Flow[SqlFacts]:
    """A file: its journal, and what waits for a purge."""
    expired, oldest = yield from statements.expired()
    server = yield from statements.server()
    mode: Rows = yield from _select(text("PRAGMA journal_mode"))
    return SqlFacts(server, journal=str(mode[0][0]), expired=expired, oldest=oldest)


def examine_postgres(statements: Statements, host: str, *, verified: bool) -> Flow[SqlFacts]:
    """A server: how we talk to it, as whom, and what waits for a purge.

    :param verified: whether TLS is asked for, with chain and host name
    """
    expired, oldest = yield from statements.expired()
    server = yield from statements.server()
    ((encrypted, superuser, standby),) = yield from _select(_POSTGRES)
    return SqlFacts(
        server,
        link=_link(host, encrypted=encrypted, verified=verified),
        expired=expired,
        oldest=oldest,
        superuser=superuser,
        standby=standby,
    )


def _link(host: str, *, encrypted: bool, verified: bool) -> Link:
    if host.startswith("/"):
        return Link("unix")
    return Link("tls" if encrypted else "tcp", host, verified=verified)


def _select(statement: Any) -> Flow[Rows]:
    rows: Rows = yield from Command(("SELECT", statement, {}))
    return rows
