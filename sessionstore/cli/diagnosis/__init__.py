"""From the facts that a store gathers to findings in plain words. Pure functions, no I/O.

===========  ================================================================
finding.py   ``Finding`` and ``Severity``
redis.py     what a Redis or Valkey server must have and be
access.py    how it is reached, and as whom; what its user may do
memcached.py what a Memcached server must have and be
sql.py       SQLite and PostgreSQL
===========  ================================================================

A store that is new here: a class of facts in ``sessionstore/stores/facts.py``, a module with a
function from them to findings, and a line in ``JUDGES``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sessionstore.cli.diagnosis.finding import Finding, Severity
from sessionstore.cli.diagnosis.memcached import judge_memcached
from sessionstore.cli.diagnosis.redis import judge_redis
from sessionstore.cli.diagnosis.sql import judge_sql
from sessionstore.stores.facts import Facts, MemcachedFacts, MemoryFacts, RedisFacts, SqlFacts

__all__ = ["Finding", "Severity", "diagnose"]


def _judge_memory(facts: MemoryFacts) -> list[Finding]:
    return [
        Finding(
            "one-process",
            Severity.WARNING,
            "Sessions are in this process's memory: no other process sees them, and a restart"
            " logs everybody out.",
            "Right for tests and development; anything else needs a store of its own.",
        )
    ]


JUDGES: Final[dict[type[Facts], Callable[[Any], list[Finding]]]] = {
    RedisFacts: judge_redis,
    MemcachedFacts: judge_memcached,
    SqlFacts: judge_sql,
    MemoryFacts: _judge_memory,
}


def diagnose(facts: Facts) -> list[Finding]:
    """What is to be said about a store, the worst first."""
    judge = JUDGES.get(type(facts))
    findings = judge(facts) if judge else [_unknown_kind()]
    if facts.refused:
        commands = ", ".join(facts.refused)
        findings.append(
            Finding(
                "not-allowed",
                Severity.UNKNOWN,
                f"Not allowed to look: {commands}.",
                "As it should be for the application's user. To see all of it, make a user that"
                " may look: 'Check a server' in the documentation has its rules.",
            )
        )
    return sorted(findings, key=lambda finding: -finding.severity)


def _unknown_kind() -> Finding:
    return Finding(
        "unknown-kind",
        Severity.UNKNOWN,
        "Nothing is known here about this kind of store.",
        "Look at what its own documentation says.",
    )
