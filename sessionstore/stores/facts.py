"""What a store can tell of how it is set up: plain data, gathered by the store, judged elsewhere.

``None`` always means "could not be looked at", which is no fault: a least-privilege user may not
see most of this. ``sessionstore doctor`` judges it (``sessionstore/cli/diagnosis``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

COUNT_LIMIT: Final = 100_000
"""Expired rows that are counted at most: the exact number of a million changes nothing."""


_NUMBER: Final = re.compile(r"[0-9]{1,20}")


def whole_number(text: str | None) -> int | None:
    """A number of a server's; None: it is none, or has more than the 64 bits that servers count in.

    >>> whole_number("18446744073709551615"), whole_number("-1"), whole_number(None)
    (18446744073709551615, None, None)
    """
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


@dataclass(frozen=True)
class Facts:
    """What any store can tell.

    :param server: name and version, ``"redis 7.0.15"``
    :param refused: what the server did not let us ask, as commands
    """

    server: str | None = None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """How the store talks to its server.

    :param kind: ``"unix"`` is a socket on this machine
    :param host: as the URL names it
    :param verified: whether TLS verifies the chain and the host's name
    """

    kind: Literal["tcp", "tls", "unix"]
    host: str = ""
    verified: bool = True


@dataclass(frozen=True)
class Permissions:
    """One set of an ACL user's rules: the user's own, or a selector's (Redis 7).

    :param commands: ``("-@all", "+get")``, in their order
    :param keys: patterns with their ``~``: ``("~session:*", "%R~other:*")``
    """

    commands: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class RedisUser:
    """The user that the store logs in as.

    :param flags: ``"on"``, ``"nopass"``...; None: unknown, as are the permissions
    """

    name: str
    flags: frozenset[str] | None = None
    permissions: tuple[Permissions, ...] = ()


@dataclass(frozen=True)
class RedisFacts(Facts):
    """A Redis or Valkey server, or the node of a cluster that was asked.

    :param link: how it is reached
    :param prefix: the store's, with which every key begins
    :param eviction: ``maxmemory-policy``
    :param evicted: keys evicted since it was started
    :param maxmemory: bytes; 0 is no limit
    :param used: bytes of that, without the buffers that the server does not count
    :param session_bytes: what one session takes there
    :param sampled: of how many sessions that is the mean; 0: of a probe record
    :param aof: whether it writes an append-only file
    :param fsync: ``appendfsync``: ``"always"``, ``"everysec"``, ``"no"``
    :param snapshots: ``save``, its schedule of RDB files; empty: none
    :param save_failed: ``"AOF"`` or ``"RDB"``, where the last write to disk failed; else empty
    :param role: ``"master"`` or ``"slave"``, the server's own words
    :param replicas: how many are connected
    :param user: None: unknown
    """

    link: Link = field(default_factory=lambda: Link("unix"))
    prefix: str = ""
    eviction: str | None = None
    evicted: int | None = None
    maxmemory: int | None = None
    used: int | None = None
    session_bytes: int | None = None
    sampled: int = 0
    aof: bool | None = None
    fsync: str | None = None
    snapshots: str | None = None
    save_failed: str | None = None
    role: str | None = None
    replicas: int | None = None
    user: RedisUser | None = None


@dataclass(frozen=True)
class MemcachedFacts(Facts):
    """A Memcached server.

    :param link: how it is reached
    :param logged_in: whether the store has a user name and password for it
    :param asks: how the server asks for them: ``"SASL"``, ``"-Y"``; empty: it does not
    :param evicts: whether it evicts when memory is full (without ``-M``)
    :param evicted: items evicted since it was started
    :param maxmemory: bytes that items may take
    :param used: bytes of that in use, counted in whole chunks, as the server hands them out
    :param session_bytes: what one item takes there, the mean of all
    :param sampled: of how many items that is the mean; 0: of a probe record
    :param item_size: bytes that one item may have
    :param turned_away: connections that it did not take, because there were too many
    :param flushable: whether any client may delete everything (``flush_all``)
    :param uptime: seconds since it was started, empty
    :param hits: how many loads since then have found an item
    :param misses: how many have not
    """

    link: Link = field(default_factory=lambda: Link("unix"))
    logged_in: bool = False
    asks: str | None = None
    evicts: bool | None = None
    evicted: int | None = None
    maxmemory: int | None = None
    used: int | None = None
    session_bytes: int | None = None
    sampled: int = 0
    item_size: int | None = None
    turned_away: int | None = None
    flushable: bool | None = None
    uptime: int | None = None
    hits: int | None = None
    misses: int | None = None


@dataclass(frozen=True)
class SqlFacts(Facts):
    """A SQL database.

    :param link: None for a file
    :param journal: SQLite's ``journal_mode``
    :param expired: how many expired rows lie there, counted up to ``COUNT_LIMIT``
    :param oldest: seconds since the first of them expired
    :param superuser: whether the user is PostgreSQL's superuser
    :param standby: whether the server takes no writes
    """

    link: Link | None = None
    journal: str | None = None
    expired: int | None = None
    oldest: float | None = None
    superuser: bool | None = None
    standby: bool | None = None


@dataclass(frozen=True)
class MemoryFacts(Facts):
    """This process's memory."""
