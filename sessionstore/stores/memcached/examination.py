"""What a server tells of how it is set up, as a flow. No I/O.

Managed services may refuse some of it; what is refused is noted and left out. The one exception is
the first command: a get, without which there are no sessions at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sessionstore.core.errors import StoreError, StoreRefused
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.facts import Link, MemcachedFacts, whole_number
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.messages import Reply, Request, Verb

PROBE_TTL: Final = 60.0

Stats = Mapping[str, str]


def examine(key: bytes, probe: bytes, link: Link, *, logged_in: bool) -> Flow[MemcachedFacts]:
    """All that can be found out.

    :param key: one that no session has
    :param probe: a record of usual size, to store there if there is nothing to measure
    :param logged_in: whether there are credentials
    :raises StoreError: the server cannot be used at all
    """
    yield from commands.load(key)
    refused: list[str] = []
    server = yield from _server(refused)
    stats = yield from _stats("", refused)
    settings = yield from _stats("settings", refused)
    chunks, size = yield from _chunks(refused)
    sampled, used = chunks, chunks * size
    if chunks == 0 and "stats slabs" not in refused:
        size = yield from _probe(key, probe, refused)
    return MemcachedFacts(
        server=server,
        refused=tuple(refused),
        link=link,
        logged_in=logged_in,
        asks=_asks(settings),
        evicts=_switch(settings, "evictions"),
        evicted=_number(stats, "evictions"),
        maxmemory=_number(stats, "limit_maxbytes"),
        used=None if "stats slabs" in refused else used,
        session_bytes=size or None,
        sampled=sampled,
        item_size=_number(settings, "item_size_max"),
        turned_away=_number(stats, "rejected_connections"),
        flushable=_switch(settings, "flush_enabled"),
        uptime=_number(stats, "uptime"),
        hits=_number(stats, "get_hits"),
        misses=_number(stats, "get_misses"),
    )


def _server(refused: list[str]) -> Flow[str | None]:
    try:
        return (yield from commands.server())
    except StoreRefused:
        refused.append("version")
        return None


def _stats(which: str, refused: list[str]) -> Flow[Stats]:
    name = f"stats {which}".rstrip()
    try:
        stats = yield from Command(Request(Verb.STATS, which.encode()), _told)
    except StoreRefused:
        stats = None
    if stats is None and name not in refused:
        refused.append(name)
    return stats or {}


def _chunks(refused: list[str]) -> Flow[tuple[int, int]]:
    """How many chunks of memory are in use, and the mean of their sizes: one for each item that is
    not a very large one, rounded up to the size of its class."""
    slabs = yield from _stats("slabs", refused)
    numbers = {name: whole_number(text) for name, text in slabs.items()}
    sizes = {name: number for name, number in numbers.items() if number is not None}
    chunks = used = 0
    for name, size in sizes.items():
        slab, _, what = name.partition(":")
        if what == "chunk_size":
            count = sizes.get(f"{slab}:used_chunks", 0)
            chunks += count
            used += count * size
    return chunks, used // chunks if chunks else 0


def _probe(key: bytes, probe: bytes, refused: list[str]) -> Flow[int]:
    try:
        yield from commands.create(key, probe, PROBE_TTL)
        _, size = yield from _chunks(refused)
        yield from commands.delete(key, None)
    except StoreError:
        # The server takes no writes: another finding's matter.
        return 0
    return size


def _told(reply: Reply) -> Stats | None:
    return reply.stats


# -- what they mean --


def _number(stats: Stats, name: str) -> int | None:
    return whole_number(stats.get(name))


def _switch(settings: Stats, name: str) -> bool | None:
    return {"on": True, "yes": True, "off": False, "no": False}.get(settings.get(name, ""))


def _asks(settings: Stats) -> str | None:
    sasl, file = (settings.get(f"auth_enabled_{kind}") for kind in ("sasl", "ascii"))
    if sasl == "yes":
        return "SASL"
    if file not in {None, "no"}:  # where it is on, it is the file's name
        return "-Y"
    return None if sasl is None and file is None else ""
