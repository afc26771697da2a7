"""The four verbs where each session is on two servers (``copies=2``). No I/O.

One of the two items is the session's *home*, at which writers compare and set; the other is its
*copy*, with the number of the write that it has, so that a slow writer does not put an older state
over a newer one. When the home is lost, whoever finds the copy makes it the home (``takeover.py``).
A write that was executed at the home counts once it is at the copy as well: so of one whose home
was lost meanwhile nobody is told that it was stored. A destroyed session leaves a tombstone for as
long as anybody may be at work with what it was, so that neither a copy nor a home can be made of
that again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from sessionstore.core.errors import NotReplicated, OutcomeUnknown, StoreError, StoreUnavailable
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import Conflict, Deleted, Entry, Exists, Missing, Version
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.copying import NOT_COPIED, TRIES, copied, look_at
from sessionstore.stores.memcached.items import Held, Item, Kind, beside, ends, mark, marked
from sessionstore.stores.memcached.places import Places
from sessionstore.stores.memcached.routing import Look
from sessionstore.stores.memcached.takeover import TOMBSTONE_SECONDS, found
from sessionstore.stores.memcached.topology import Node

LONGEST_TIMEOUT: Final = 30.0
"""Seconds that a store's timeout may have, for the tombstones to last longer than any write."""


def load(key: bytes) -> Flow[Entry | None]:
    """From its home; where that is lost, its copy becomes the home."""
    return (yield from found(key, write=False))


def create(key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
    """At home, then the copy."""
    places: Places = yield from Command(Look.PLACES, key=key, write=True)
    home = places.make[0]
    copy = beside(home, places)
    item = Item(Kind.HOME, 0, 1, mark(copy), ends(places, ttl), value)
    stored = yield from _added(key, item, ttl, home)
    if stored is None:
        return Exists()
    held = Held.at(home, stored)
    if copy is not None:
        # Nobody else knows of it yet, so there is nothing to look at before. If it fails, or the
        # outcome is unknown, it is looked at below.
        with suppress(*NOT_COPIED):
            added = yield from commands.create(key, stored.copied(), ttl, copy)
            if not isinstance(added, Exists):
                return held
    yield from _copied(key, held, ttl, copy, held)
    return held


def replace(
    key: bytes, value: bytes, ttl: float, version: Version
) -> Flow[Version | Conflict | Missing]:
    """At home, then the copy."""
    if not isinstance(version, Held):
        return (yield from _current(key))
    places: Places = yield from Command(Look.PLACES, key=key, write=True)
    home, before = version.node, version.item
    copy, old = _place(home, before, places)
    item = Item(Kind.HOME, before.term, before.next_number, mark(copy), ends(places, ttl), value)
    result = yield from commands.replace(key, item.pack(), ttl, version, home)
    if isinstance(result, Missing):
        return (yield from _current(key))
    if isinstance(result, Conflict):
        return (yield from _conflict(key, result, home, places))
    held = Held.at(home, item._replace(cas=int(result)))
    yield from _copied(key, held, ttl, copy, held)
    if old is not None:
        yield from _forgotten(key, old, held)
    return held


def delete(key: bytes, version: Version | None) -> Flow[Deleted | Conflict | Missing]:
    """A tombstone at home, then on every other server.

    :raises OutcomeUnknown: it is at home, and perhaps not where the copy is
    """
    for _ in range(TRIES):
        places: Places = yield from Command(Look.PLACES, key=key, write=True)
        held = version
        if not isinstance(held, Held):
            entry = yield from found(key, write=True)
            if entry is None:
                if (yield from _barred(key, places)):
                    return Missing()
                continue
            if version is not None:
                return Conflict(entry)
            held = entry.version
        assert isinstance(held, Held)  # noqa: S101 (all that is found here is)
        stone = held.item.buried()
        result = yield from commands.replace(key, stone, TOMBSTONE_SECONDS, held, held.node)
        if not isinstance(result, Conflict | Missing):
            yield from _entombed(key, stone, held, places)
            return Deleted()
        if version is None:
            continue
        current = yield from _current(key)
        if isinstance(current, Conflict) or (yield from _barred(key, places)):
            return current
    raise StoreUnavailable("it changes all the time")


# -- what they are made of --


def _place(home: Node, item: Item, places: Places) -> tuple[Node | None, Node | None]:
    """Where the copy is from now on; and where else it may be, if it has been elsewhere.

    It stays where it is, unless that server was lost. One that has just been taken back may have
    been lost to others: they have the copy elsewhere, and so has everybody.
    """
    there, new = marked(item.copy, places), beside(home, places)
    if there is None or (there in places.joining and new is not None):
        return new, there
    return there, None


def _added(key: bytes, item: Item, ttl: float, node: Node) -> Flow[Item | None]:
    """Store a new session's home; None: the key is taken."""
    for _ in range(TRIES):
        result: object = yield from commands.create(key, item.pack(), ttl, node)
        if isinstance(result, Exists):
            there = yield from look_at(key, node)
            if there is not None and there.kind is not Kind.GONE:
                return None
            if there is None:
                continue
            item = item._replace(term=there.next_generation)
            result = yield from commands.replace(key, item.pack(), ttl, there.cas, node)
        if isinstance(result, int):
            return item._replace(cas=result)
    raise StoreUnavailable("it changes all the time", node=node.name)


def _conflict(
    key: bytes, conflict: Conflict, home: Node, places: Places
) -> Flow[Conflict | Missing]:
    """What is there, which must be at its copy as well: it may be our own write, whose reply was
    lost before the copy was made."""
    item = Item.unpack(conflict.entry)
    current: Conflict | Missing = Conflict(Entry(item.record, Held.at(home, item)))
    if item.kind is not Kind.HOME:
        current = yield from _current(key)
    for _ in range(TRIES):
        if isinstance(current, Missing):
            return current
        held = current.entry.version
        assert isinstance(held, Held)  # noqa: S101 (all that is found here is)
        ttl = max(held.item.ends - places.now, 1)
        copy = marked(held.item.copy, places)
        if (yield from _is_copied(key, held, ttl, copy, current)):
            return current
        current = yield from _current(key)  # its home was lost
    raise StoreUnavailable("it changes all the time", node=home.name)


def _current(key: bytes) -> Flow[Conflict | Missing]:
    entry = yield from found(key, write=True)
    return Missing() if entry is None else Conflict(entry)


def _copied(key: bytes, held: Held, ttl: float, node: Node | None, result: object) -> Flow[None]:
    """Have the copy be as new as the home.

    :param result: what the write came to
    :raises NotReplicated: it may not be
    :raises OutcomeUnknown: the home is not the home any more
    """
    if not (yield from _is_copied(key, held, ttl, node, result)):
        raise OutcomeUnknown("its home was lost during the write", node=held.node.name)


def _is_copied(key: bytes, held: Held, ttl: float, node: Node | None, result: object) -> Flow[bool]:
    """The same; False: the home is not the home any more."""
    if node is None:
        raise _shortfall("there is no second server for the copy", result)
    try:
        return (yield from copied(key, held, ttl, node))
    except NOT_COPIED as error:
        raise _shortfall(f"the copy was not written: {error}", result) from None


def _barred(key: bytes, places: Places) -> Flow[bool]:
    """Have a tombstone wherever it may be: what a slow writer still holds must not come back after
    a logout that found nothing. False: somebody was faster, and it has to be looked at again."""
    for node in places.all:
        try:
            if not (yield from _is_barred(key, node, places.now)):
                return False
        except StoreError:
            if node in places.look:
                raise
    return True


def _is_barred(key: bytes, node: Node, now: float) -> Flow[bool]:
    stone = Item(Kind.GONE, 0, 0, 0, 0, b"")
    added = yield from commands.create(key, stone.pack(), TOMBSTONE_SECONDS, node)
    if not isinstance(added, Exists):
        return True
    there = yield from look_at(key, node)
    if there is None or there.kind is Kind.GONE:
        return there is not None
    if there.kind is Kind.HOME or there.ends > now:
        return False
    # A copy that has ended is there still where the server's clock is behind, and no takeover.
    over = there.buried()
    result = yield from commands.replace(key, over, TOMBSTONE_SECONDS, there.cas, node)
    return not isinstance(result, Conflict | Missing)


def _shortfall(text: str, result: object) -> NotReplicated:
    shortfall = NotReplicated(text)
    shortfall.result = result
    return shortfall


def _forgotten(key: bytes, node: Node, held: Held) -> Flow[None]:
    """Delete the copy on a server that is not to have it any more, before it grows old there."""
    try:
        there = yield from look_at(key, node)
        if there is not None and there.kind is Kind.COPY and there.rank < held.item.rank:
            yield from commands.delete(key, there.cas, node)
    except StoreError as error:
        raise _shortfall(f"an old copy was not deleted: {error}", held) from None


def _entombed(key: bytes, stone: bytes, held: Held, places: Places) -> Flow[None]:
    """Put the tombstone on every other server; those that may have the session must take it."""
    copy = marked(held.item.copy, places)
    problem: StoreError | None = None
    for node in places.all:
        if node is held.node:
            continue
        try:
            yield from commands.put(key, stone, TOMBSTONE_SECONDS, node)
        except StoreError as error:
            if node is copy or node in places.look:
                problem = problem or error
    if problem is not None:
        unknown = OutcomeUnknown(f"it was destroyed on one server, and not on another: {problem}")
        unknown.node = problem.node
        raise unknown from None
