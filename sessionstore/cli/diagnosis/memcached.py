"""What a Memcached server must have and be, for sessions to last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sessionstore.cli.diagnosis.access import is_local, judge_link
from sessionstore.cli.diagnosis.finding import Finding, Severity, in_bytes, in_time
from sessionstore.core.config import SessionConfig
from sessionstore.stores.facts import MemcachedFacts

SCARCE: Final = 0.1
"""Of its memory: with less than that free, it is time to act."""
NEEDED: Final = (1, 6)
"""The first version with the meta protocol that is not called experimental."""
TLS: Final = "Write memcacheds:// and let the server speak TLS (memcached -Z)."


def judge_memcached(facts: MemcachedFacts) -> list[Finding]:
    """All findings about one server."""
    return [
        *_version(facts),
        *_eviction(facts),
        *_headroom(facts),
        *_hit_rate(facts),
        *_item_size(facts),
        _persistence(facts),
        *_connections(facts),
        judge_link(facts.link, TLS),
        *_user(facts),
    ]


def _version(facts: MemcachedFacts) -> Iterator[Finding]:
    match = re.match(r"memcached (\d{1,9})\.(\d{1,9})", facts.server or "")
    if match is None:
        return
    if (int(match[1]), int(match[2])) < NEEDED:
        yield Finding(
            "version",
            Severity.WARNING,
            f"{facts.server} is older than {'.'.join(map(str, NEEDED))}, with which nobody has"
            " tried this library.",
            "Update the server.",
        )
    else:
        yield Finding("version", Severity.OK, f"{facts.server} has all that sessions need.")


def _eviction(facts: MemcachedFacts) -> Iterator[Finding]:
    if facts.evicted:
        since = f" in {in_time(facts.uptime)}" if facts.uptime else ""
        yield Finding(
            "eviction",
            Severity.ERROR,
            f"It has evicted {facts.evicted:,} items{since}: each may have been a session, and"
            " somebody who was logged out.",
            "Give it more memory (-m), or a server of its own to what needs so much.",
        )
    elif facts.evicts is False:
        yield Finding(
            "eviction",
            Severity.WARNING,
            "It does not evict (-M): when it is full, it refuses to store a session and deletes the"
            " one that was to be replaced.",
            "Start it without -M, with memory enough: then the least used sessions go first.",
        )
    elif facts.evicted == 0:
        yield Finding("eviction", Severity.OK, "It has evicted nothing so far.")


def _headroom(facts: MemcachedFacts) -> Iterator[Finding]:
    if not facts.maxmemory or facts.used is None:
        return
    free = max(0, facts.maxmemory - facts.used)
    share = free / facts.maxmemory
    seen = f"{in_bytes(free)} of {in_bytes(facts.maxmemory)} are free ({share:.0%})"
    if facts.session_bytes:
        source = f"the mean of {facts.sampled:,}" if facts.sampled else "a probe, as there are none"
        seen += (
            f": room for {free // facts.session_bytes:,} more sessions."
            f" An item takes {facts.session_bytes:,} bytes ({source})."
        )
    else:
        seen += "."
    if share >= SCARCE:
        yield Finding("memory", Severity.OK, seen)
        return
    yield Finding(
        "memory",
        Severity.WARNING,
        f"{seen} A full server logs users out.",
        "Raise -m, shorten the sessions' lifetime, or keep less in them.",
    )


def _hit_rate(facts: MemcachedFacts) -> Iterator[Finding]:
    if facts.hits is None or facts.misses is None or not facts.hits + facts.misses:
        return
    loads = facts.hits + facts.misses
    yield Finding(
        "hit-rate",
        Severity.OK,
        f"{facts.hits / loads:.1%} of {loads:,} loads have found what they asked for. The others"
        " were of sessions that had ended, or were evicted, or lost with an earlier start of this"
        " server; and the questions of this command.",
    )


def _item_size(facts: MemcachedFacts) -> Iterator[Finding]:
    if facts.item_size is None:
        return
    # What a session may have unless max_size says otherwise, and a little for the record around it.
    wanted = SessionConfig.max_size + 1024
    seen = f"An item may have {in_bytes(facts.item_size)}"
    if facts.item_size >= wanted:
        yield Finding("item-size", Severity.OK, f"{seen}: room for the largest session.")
        return
    yield Finding(
        "item-size",
        Severity.WARNING,
        f"{seen}, and a session {in_bytes(SessionConfig.max_size)} (max_size): one in between is"
        " refused with SessionTooLarge.",
        "Raise -I, or lower max_size.",
    )


def _persistence(facts: MemcachedFacts) -> Finding:
    up = f" This one has been up for {in_time(facts.uptime)}." if facts.uptime else ""
    return Finding(
        "persistence",
        Severity.NOTE,
        "Memcached keeps nothing on disk and has no replica: when it is restarted or lost,"
        f" everybody is logged out.{up}",
        "If that is too much: Redis or Valkey with an append-only file, or PostgreSQL.",
    )


def _connections(facts: MemcachedFacts) -> Iterator[Finding]:
    if facts.turned_away:
        yield Finding(
            "connections",
            Severity.WARNING,
            f"It has turned away {facts.turned_away:,} connections, because it had too many: each"
            " is a 503 for somebody, or a retry.",
            "Raise -c, or lower max_connections in the applications.",
        )


def _user(facts: MemcachedFacts) -> Iterator[Finding]:
    if facts.asks is None:
        return
    if facts.asks:
        yield Finding("user", Severity.OK, f"It asks for a user name and password ({facts.asks}).")
        return
    local = facts.link.kind == "unix" or is_local(facts.link.host)
    can = "read and end every session"
    if facts.flushable:
        can += ", all of them at once (flush_all)"
    beside = " The password in the URL is not used." if facts.logged_in else ""
    yield Finding(
        "user",
        Severity.WARNING if local else Severity.ERROR,
        f"It asks for no password: whoever reaches it may {can}.{beside}",
        "Start it with -Y FILE or with SASL (-S), or see to it that nobody else reaches it: a"
        " firewall, a Unix socket, client certificates.",
    )
