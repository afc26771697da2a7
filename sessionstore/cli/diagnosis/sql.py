"""SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sessionstore.cli.diagnosis.access import judge_link
from sessionstore.cli.diagnosis.finding import Finding, Severity, in_time
from sessionstore.stores.facts import COUNT_LIMIT, SqlFacts

PURGE_INTERVAL: Final = 86_400
"""Seconds: how often the documentation says to run a purge."""


def judge_sql(facts: SqlFacts) -> list[Finding]:
    """All findings about one database."""
    findings = [*_expired(facts), *_file(facts), *_server(facts)]
    if facts.link is not None:
        findings.append(judge_link(facts.link, "Write ?ca=FILE or ?sslmode=verify-full."))
    return findings


def _expired(facts: SqlFacts) -> Iterator[Finding]:
    if facts.expired is None:
        return
    if not facts.expired:
        yield Finding("purge", Severity.OK, "No expired row waits to be purged.")
        return
    rows = "row waits" if facts.expired == 1 else "rows wait"
    since = f", the oldest for {in_time(facts.oldest)}" if facts.oldest is not None else ""
    many = f"{facts.expired:,}{' or more' if facts.expired >= COUNT_LIMIT else ''}"
    seen = f"{many} expired {rows} to be purged{since}."
    # Twice, so that a purge that is due just now is no warning.
    if facts.oldest is not None and facts.oldest > 2 * PURGE_INTERVAL:
        yield Finding(
            "purge",
            Severity.WARNING,
            f"{seen} They are never returned, but the table only grows.",
            "Run `sessionstore purge` daily, from cron or a systemd timer.",
        )
    else:
        yield Finding("purge", Severity.OK, seen)


def _file(facts: SqlFacts) -> Iterator[Finding]:
    if facts.journal is None:
        return
    if facts.journal == "wal":
        yield Finding("journal", Severity.OK, "A write-ahead log: readers wait for nobody.")
    else:
        yield Finding(
            "journal",
            Severity.WARNING,
            f"The journal is {facts.journal!r} and not a write-ahead log, which this file system"
            " seems not to allow: readers and the writer wait for each other.",
            "Keep the file on a local disk, not on a network file system.",
        )
    yield Finding(
        "one-machine",
        Severity.NOTE,
        "A file on this machine: processes elsewhere do not see its sessions.",
        "For more than one machine: PostgreSQL, Redis or Valkey.",
    )


def _server(facts: SqlFacts) -> Iterator[Finding]:
    if facts.standby:
        yield Finding(
            "role",
            Severity.ERROR,
            "This server is a standby: it takes no writes, so nobody can log in or out.",
            "Name the primary in the URL.",
        )
    if facts.superuser:
        yield Finding(
            "user",
            Severity.WARNING,
            "The user is a superuser: whoever gets hold of its password owns every database.",
            "Make a role with SELECT, INSERT, UPDATE and DELETE on this one table.",
        )
    elif facts.superuser is False:
        yield Finding("user", Severity.OK, "The user is no superuser.")
