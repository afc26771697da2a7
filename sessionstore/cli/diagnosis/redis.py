"""What a Redis or Valkey server must have and be, for sessions to last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sessionstore.cli.diagnosis.access import judge_link, judge_user
from sessionstore.cli.diagnosis.finding import Finding, Severity, in_bytes
from sessionstore.stores.facts import RedisFacts

SCARCE: Final = 0.1
"""Of ``maxmemory``: with less than that free, it is time to act."""
NEEDED: Final = (6, 0)
"""The oldest Redis that this library is for. Valkey began with 7.2."""
FEATURES: Final = {
    (7, 0): "ACL rules for reading alone",
    (7, 2): "WAITAOF, to wait until a write is on disk",
}
"""What versions after that one bring that concerns sessions."""


def judge_redis(facts: RedisFacts) -> list[Finding]:
    """All findings about one server."""
    return [
        *_version(facts),
        *_role(facts),
        *_eviction(facts),
        *_headroom(facts),
        *_persistence(facts),
        *_replicas(facts),
        judge_link(facts.link, "Write rediss:// and let the server speak TLS (tls-port)."),
        *judge_user(facts),
    ]


def _version(facts: RedisFacts) -> Iterator[Finding]:
    match = re.fullmatch(r"(\w+) (\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?.*", facts.server or "")
    if match is None:
        return
    version = tuple(int(part) for part in match.groups()[1:] if part)
    if match[1] == "redis" and version < NEEDED:
        yield Finding(
            "version",
            Severity.WARNING,
            f"{facts.server} is older than {'.'.join(map(str, NEEDED))}, with which nobody has"
            " tried this library.",
            "Update the server.",
        )
        return
    # Valkey is a fork of 7.2, whatever it has called itself since.
    known = version if match[1] == "redis" else (7, 2)
    lacking = [
        f"{name} (from {'.'.join(map(str, since))} on)"
        for since, name in FEATURES.items()
        if known < since
    ]
    what = f"{facts.server} has all that sessions need"
    yield Finding(
        "version", Severity.OK, f"{what}; it lacks {', '.join(lacking)}." if lacking else f"{what}."
    )


def _role(facts: RedisFacts) -> Iterator[Finding]:
    if facts.role not in {None, "master"}:
        yield Finding(
            "role",
            Severity.ERROR,
            "This server is a replica: it takes no writes, so nobody can log in or out.",
            "Name the primary in the URL; behind a service, its primary endpoint.",
        )


def _eviction(facts: RedisFacts) -> Iterator[Finding]:
    policy = facts.eviction
    if policy is None:
        return
    if policy == "noeviction":
        yield Finding("eviction", Severity.OK, "It does not evict: a full server refuses writes.")
        return
    # volatile-* as well: it evicts what has an expiry, and every session has one.
    happened = f" It has evicted {facts.evicted:,} keys so far." if facts.evicted else ""
    limited = facts.maxmemory != 0
    yield Finding(
        "eviction",
        Severity.ERROR if limited else Severity.WARNING,
        f"maxmemory-policy is {policy}: "
        + ("when memory is full" if limited else "as soon as maxmemory is set and reached")
        + f", it logs users out at will.{happened}",
        "CONFIG SET maxmemory-policy noeviction, and in redis.conf; with a managed service, in its"
        " parameter group. Give a cache that must evict a server of its own.",
    )


def _headroom(facts: RedisFacts) -> Iterator[Finding]:
    if facts.maxmemory is None:
        return
    if facts.maxmemory == 0:
        yield Finding(
            "memory",
            Severity.NOTE,
            f"No maxmemory: it grows until the system kills it.{_each(facts)}",
            "Set maxmemory below what the machine has, so that a full server refuses writes"
            " and reads go on.",
        )
        return
    if facts.used is None:
        return
    free = max(0, facts.maxmemory - facts.used)
    share = free / facts.maxmemory
    seen = f"{in_bytes(free)} of {in_bytes(facts.maxmemory)} are free ({share:.0%})"
    if facts.session_bytes:
        seen += f": room for {free // facts.session_bytes:,} more sessions"
    seen += f".{_each(facts)}"
    if share >= SCARCE:
        yield Finding("memory", Severity.OK, seen)
        return
    yield Finding(
        "memory",
        Severity.WARNING if free else Severity.ERROR,
        f"{seen} A full server refuses writes, or evicts.",
        "Raise maxmemory, shorten the sessions' lifetime, or keep less in them.",
    )


def _each(facts: RedisFacts) -> str:
    if not facts.session_bytes:
        return ""
    source = f"the mean of {facts.sampled}" if facts.sampled else "a probe, as there are none"
    return f" A session takes {facts.session_bytes:,} bytes ({source})."


def _persistence(facts: RedisFacts) -> Iterator[Finding]:
    if facts.save_failed:
        yield Finding(
            "disk",
            Severity.ERROR,
            f"Its last write to disk ({facts.save_failed}) failed: it may refuse writes, and a"
            " restart would lose sessions.",
            "Look at the server's log, and at the space on its disk.",
        )
    if facts.aof is None:
        return
    if facts.aof:
        yield _append_only(facts.fsync)
    elif facts.snapshots is None:
        yield Finding(
            "persistence",
            Severity.WARNING,
            "No append-only file; whether it saves snapshots cannot be seen. After a crash, what"
            " was written since the last one is lost, and sessions ended since then are back.",
            "Switch the append-only file on (appendonly yes), or see to replicas.",
        )
    elif facts.snapshots:
        yield Finding(
            "persistence",
            Severity.WARNING,
            f"Snapshots only (save {facts.snapshots}): after a crash, what was written since the"
            " last one is lost, and sessions ended since then are back.",
            "CONFIG SET appendonly yes, and in redis.conf.",
        )
    else:
        yield Finding(
            "persistence",
            Severity.WARNING,
            "Nothing is kept on disk: a restart logs everybody out.",
            "CONFIG SET appendonly yes, and in redis.conf; unless replicas take over by"
            " themselves, and that is enough for you.",
        )


def _append_only(fsync: str | None) -> Finding:
    if fsync == "always":
        return Finding(
            "persistence", Severity.OK, "Append-only file, on disk before a write is acknowledged."
        )
    if fsync == "no":
        return Finding(
            "persistence",
            Severity.WARNING,
            "Append-only file, but the system decides when it is on disk (appendfsync no): a power"
            " cut loses half a minute of writes, logouts among them.",
            "CONFIG SET appendfsync everysec, or always, and in redis.conf.",
        )
    if fsync == "everysec":
        return Finding(
            "persistence",
            Severity.NOTE,
            "Append-only file, on disk every second: a power cut loses a second of writes or two,"
            " a logout among them, perhaps.",
            "If that is too much: appendfsync always.",
        )
    return Finding("persistence", Severity.OK, "Append-only file; how often it is on disk, unseen.")


def _replicas(facts: RedisFacts) -> Iterator[Finding]:
    if facts.role != "master" or facts.replicas is None:
        return
    if facts.replicas:
        number = "1 replica" if facts.replicas == 1 else f"{facts.replicas} replicas"
        yield Finding("replicas", Severity.OK, f"{number} connected.")
    else:
        yield Finding(
            "replicas",
            Severity.WARNING,
            "No replica: while this machine is down, every request with a session is a 503; if its"
            " disk is gone, so are the sessions.",
            "Run a replica, and Sentinel or a managed service that lets it take over.",
        )
