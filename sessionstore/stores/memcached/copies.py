"""The four verbs where each session is on two servers (``copies=2``). No I/O.

One of the two items is the session's *home*, at which writers compare and set; the other is its
*copy*, with the number of the write that it has, so that a slow writer does not put an older state
over a newer one. When the home is lost, whoever finds the copy makes it the home. A destroyed
session leaves a tombstone for as long as anybody may be at work with what it was, so that neither
a copy nor a home can be made of that again.

An item is ``kind, number, where the copy is, when it ends, record``.
"""

from __future__ import annotations

import enum
import struct
import zlib
from contextlib import suppress
from math import ceil
from typing import Final, NamedTuple

from sessionstore.core.errors import NotReplicated, StoreError, StoreUnavailable
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import Conflict, Deleted, Entry, Exists, Missing, Version
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.membership import Places
from sessionstore.stores.memcached.routing import Look
from sessionstore.stores.memcached.spread import Placed
from sessionstore.stores.memcached.topology import Node

TOMBSTONE_SECONDS: Final = 120.0
"""How long a destroyed session's key is taken: far more than any write can be under way, which is
at most the store's timeout and however long a server can be silent before it is left out."""
LONGEST_TIMEOUT: Final = 30.0
"""Seconds that a store's timeout may have, for that."""
_TRIES: Final = 16
"""Of a compare-and-set that others win. Each time, one of them gets on."""

_HEADER: Final = struct.Struct("!cIII")


class Kind(enum.Enum):
    """What an item is to its session."""

    HOME = b"H"
    COPY = b"C"
    GONE = b"G"


class Item(NamedTuple):
    """What is stored on one server.

    :param number: of the session's write that this is
    :param copy: a home's: the mark of the server that the copy is on; 0: there is none
    :param ends: seconds since 1970
    :param cas: the item's CAS number; 0: it is not stored yet
    """

    kind: Kind
    number: int
    copy: int
    ends: int
    record: bytes
    cas: int = 0

    def pack(self) -> bytes:
        """Its bytes."""
        head = _HEADER.pack(self.kind.value, self.number & 0xFFFFFFFF, self.copy, self.ends)
        return head + self.record

    @classmethod
    def unpack(cls, entry: Entry) -> Item:
        """From its bytes. A record that was stored without ``copies=2`` is a home by itself."""
        value, cas = entry.value, int(entry.version)
        if len(value) < _HEADER.size or value[:1] not in _KINDS:
            return cls(Kind.HOME, 0, 0, 0, value, cas)
        kind, number, copy, ends = _HEADER.unpack_from(value)
        return cls(Kind(kind), number, copy, ends, value[_HEADER.size :], cas)


_KINDS: Final = frozenset(kind.value for kind in Kind)
"""None of these is the first byte of a record, which is its format."""
TOMBSTONE: Final = Item(Kind.GONE, 0, 0, 0, b"").pack()


class Held(Placed):
    """A version: the home's CAS number, its server, and what else the next write must know."""

    item: Item

    @classmethod
    def at(cls, node: Node, item: Item) -> Held:
        """Of an item that is stored there."""
        held = cls(item.cas)
        held.node, held.item = node, item
        return held


def _mark(node: Node | None) -> int:
    """A server's number in a home's item; 0: none."""
    return 0 if node is None else zlib.crc32(node.endpoint.label.encode()) or 1


def _ends(places: Places, ttl: float) -> int:
    return min(ceil(places.now + ttl), 0xFFFFFFFF)


def load(key: bytes) -> Flow[Entry | None]:
    """From its home; where that is lost, its copy becomes the home."""
    return (yield from _found(key, write=False))


def create(key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
    """At home, then the copy."""
    places: Places = yield from Command(Look.PLACES, key=key, write=True)
    home, copy = places.make[0], _other(places, places.make[0])
    item = Item(Kind.HOME, 1, _mark(copy), _ends(places, ttl), value)
    stored = yield from _added(key, item, ttl, home)
    if stored is None:
        return Exists()
    held = Held.at(home, stored)
    yield from _copied(key, stored, ttl, copy, held, over_tombstone=True)
    return held


def replace(
    key: bytes, value: bytes, ttl: float, version: Version
) -> Flow[Version | Conflict | Missing]:
    """At home, then the copy."""
    if not isinstance(version, Held):
        return (yield from _current(key))
    places: Places = yield from Command(Look.PLACES, key=key, write=True)
    home, copy = version.node, _other(places, version.node)
    number = version.item.number + 1
    item = Item(Kind.HOME, number, _mark(copy), _ends(places, ttl), value)
    if version.item.copy not in {0, item.copy}:
        yield from _forgotten(key, version.item.copy, places)
    result = yield from commands.replace(key, item.pack(), ttl, version, home)
    if isinstance(result, Missing):
        return (yield from _current(key))
    if isinstance(result, Conflict):
        return (yield from _conflict(key, result, places, home, copy))
    stored = item._replace(cas=int(result))
    held = Held.at(home, stored)
    yield from _copied(key, stored, ttl, copy, held)
    return held


def delete(key: bytes, version: Version | None) -> Flow[Deleted | Conflict | Missing]:
    """A tombstone at home, by a compare-and-set, then on every other server."""
    for _ in range(_TRIES):
        if version is not None and not isinstance(version, Held):
            return (yield from _current(key))
        places: Places = yield from Command(Look.PLACES, key=key, write=True)
        held: Version | None = version
        if held is None:
            entry = yield from _found(key, write=True)
            if entry is None:
                return Missing()
            held = entry.version
        assert isinstance(held, Held)  # noqa: S101 (there are no others)
        result = yield from commands.replace(key, TOMBSTONE, TOMBSTONE_SECONDS, held, held.node)
        if not isinstance(result, Conflict | Missing):
            yield from _entombed(key, places, held.node)
            return Deleted()
        if version is not None:
            return (yield from _current(key))
    raise StoreUnavailable("it changes all the time")


def _entombed(key: bytes, places: Places, home: Node) -> Flow[None]:
    for node in places.look:
        if node is not home:
            yield from commands.put(key, TOMBSTONE, TOMBSTONE_SECONDS, node)
    for node in places.others:
        # Nobody looks there for it; unless the servers before are lost.
        with suppress(StoreError):
            yield from commands.put(key, TOMBSTONE, TOMBSTONE_SECONDS, node)


# -- what they are made of --


def _found(key: bytes, *, write: bool) -> Flow[Entry | None]:
    for _ in range(_TRIES):
        places: Places = yield from Command(Look.PLACES, key=key, write=write)
        copies: list[tuple[Node, Item]] = []
        for node in places.look:
            item = yield from _item(key, node)
            if item is None:
                continue
            if item.kind is Kind.GONE:
                return None
            if item.kind is Kind.HOME:
                return Entry(item.record, Held.at(node, item))
            if item.ends > places.now:
                copies.append((node, item))
        if not copies:
            return None
        # Of two copies whose home was on a third server, the newer.
        node, item = max(copies, key=lambda found: found[1].number)
        entry = yield from _taken_over(key, node, item, places)
        if entry is not None:
            return entry
    raise StoreUnavailable("its copies change all the time")


def _taken_over(key: bytes, node: Node, copy: Item, places: Places) -> Flow[Entry | None]:
    """Make a copy the home; None: things have changed meanwhile."""
    second = _other(places, node)
    item = copy._replace(kind=Kind.HOME, copy=_mark(second))
    ttl = copy.ends - places.now
    result = yield from commands.replace(key, item.pack(), ttl, copy.cas, node)
    if isinstance(result, Conflict | Missing):
        return None
    for before in places.look[: places.look.index(node)]:
        # Somebody may have made one there since we looked, and everybody looks there first.
        other = yield from _item(key, before)
        if other is not None and other.kind is not Kind.COPY:
            demoted = item._replace(kind=Kind.COPY)
            yield from commands.replace(key, demoted.pack(), ttl, result, node)
            return None
    home = item._replace(cas=int(result))
    if second is not None:
        with suppress(StoreError):  # the next write makes it
            yield from _copy(key, item, ttl, second)
    return Entry(item.record, Held.at(node, home))


def _current(key: bytes) -> Flow[Conflict | Missing]:
    entry = yield from _found(key, write=True)
    return Missing() if entry is None else Conflict(entry)


def _conflict(
    key: bytes, conflict: Conflict, places: Places, home: Node, copy: Node | None
) -> Flow[Conflict | Missing]:
    item = Item.unpack(conflict.entry)
    if item.kind is not Kind.HOME:
        return (yield from _current(key))
    found = Conflict(Entry(item.record, Held.at(home, item)))
    # It may be our own write, whose reply was lost before the copy was made.
    yield from _copied(key, item, max(item.ends - places.now, 1), copy, found)
    return found


def _item(key: bytes, node: Node) -> Flow[Item | None]:
    entry = yield from commands.load(key, node)
    return None if entry is None else Item.unpack(entry)


def _added(key: bytes, item: Item, ttl: float, node: Node) -> Flow[Item | None]:
    """Store a new session's home; None: the key is taken."""
    for _ in range(_TRIES):
        result: object = yield from commands.create(key, item.pack(), ttl, node)
        if isinstance(result, Exists):
            there = yield from _item(key, node)
            if there is not None and there.kind is not Kind.GONE:
                return None
            if there is None:
                continue
            result = yield from commands.replace(key, item.pack(), ttl, there.cas, node)
        if isinstance(result, int):
            return item._replace(cas=result)
    raise StoreUnavailable("it changes all the time", node=node.name)


def _copied(
    key: bytes,
    home: Item,
    ttl: float,
    node: Node | None,
    result: object,
    *,
    over_tombstone: bool = False,
) -> Flow[None]:
    """Have the copy be as new as the home.

    :param result: what the write came to
    :raises NotReplicated: it may not be
    """
    if node is None:
        raise _shortfall("there is no second server for the copy", result)
    try:
        yield from _copy(key, home, ttl, node, over_tombstone=over_tombstone)
    except StoreError as error:
        raise _shortfall(f"the copy was not written: {error}", result) from None


def _shortfall(text: str, result: object) -> NotReplicated:
    shortfall = NotReplicated(text)
    shortfall.result = result
    return shortfall


def _copy(
    key: bytes, home: Item, ttl: float, node: Node, *, over_tombstone: bool = False
) -> Flow[None]:
    copy = home._replace(kind=Kind.COPY, copy=0)
    for _ in range(_TRIES):
        there = yield from _item(key, node)
        result: object
        if there is None:
            result = yield from commands.create(key, copy.pack(), ttl, node)
        elif there.kind is Kind.GONE and not over_tombstone:
            return  # destroyed since the write
        elif there.kind is not Kind.GONE and there.number >= copy.number:
            return  # a later write was faster
        else:
            result = yield from commands.replace(key, copy.pack(), ttl, there.cas, node)
        if not isinstance(result, Exists | Conflict | Missing):
            return
    raise StoreUnavailable("it changes all the time", node=node.name)


def _forgotten(key: bytes, old: int, places: Places) -> Flow[None]:
    """Delete the copy on a server that is not to have it any more, before it grows old there."""
    for node in (*places.look, *places.others):
        if _mark(node) == old:
            yield from commands.delete(key, None, node)


def _other(places: Places, home: Node) -> Node | None:
    """Where the copy of a session with this home belongs."""
    return next((node for node in places.make if node is not home), None)
