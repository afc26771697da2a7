"""Finding a session that is on two servers, and making its copy the home where that is lost
(``copies=2``). No I/O.

Before the newest copy becomes the home, all other servers are looked at once more: a home, or a
newer copy, ends the takeover; an older copy is deleted, so that nobody else makes that one the
home. All of it is compare-and-set, so of several who do it at the same time one does it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from sessionstore.core.errors import OutcomeUnknown, StoreError, StoreUnavailable
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import Conflict, Entry, Missing
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.copying import NOT_COPIED, TRIES, copied, look_at
from sessionstore.stores.memcached.items import Held, Item, Kind, beside, mark, marked
from sessionstore.stores.memcached.places import Places
from sessionstore.stores.memcached.routing import Look
from sessionstore.stores.memcached.topology import Node

TOMBSTONE_SECONDS: Final = 120.0
"""How long a destroyed session's key is taken: far more than any write can be under way, which is
at most the store's timeout and however long a server can be silent before it is left out."""


def found(key: bytes, *, write: bool) -> Flow[Entry | None]:
    """The home; where there is none, the newest copy becomes it."""
    for _ in range(TRIES):
        places: Places = yield from Command(Look.PLACES, key=key, write=write)
        copies: list[tuple[Node, Item]] = []
        with suppress(OutcomeUnknown):  # what became of a step shows when it is looked at again
            for node in places.all:
                item = yield from look_at(key, node)
                if item is None:
                    continue
                if item.kind is Kind.GONE:
                    if (yield from _is_finished(key, node, item, places)):
                        return None
                    continue
                if item.kind is Kind.HOME:
                    return Entry(item.record, Held.at(node, item))
                copies.append((node, item))
            if not copies:
                return None
            node, item = max(copies, key=lambda found: found[1].rank)
            if item.ends <= places.now:
                return None
            entry = yield from _taken_over(key, node, item, places)
            if entry is not None:
                return entry
    raise StoreUnavailable("its copies change all the time")


def _is_finished(key: bytes, at: Node, stone: Item, places: Places) -> Flow[bool]:
    """Whoever destroyed it may have got no further than this. False: the key is used again."""
    copy = marked(stone.copy, places)
    for node in places.all:
        if node is at:
            continue
        try:
            if not (yield from _is_buried(key, node, stone)):
                return False
        except StoreError:
            if node is copy or node in places.look:
                raise
    return True


def _is_buried(key: bytes, node: Node, stone: Item) -> Flow[bool]:
    """Have it destroyed there as well."""
    for _ in range(TRIES):
        there = yield from look_at(key, node)
        if there is None or there.kind is Kind.GONE:
            return True
        if there.generation > stone.generation:
            return False
        result = yield from commands.replace(key, stone.pack(), TOMBSTONE_SECONDS, there.cas, node)
        if not isinstance(result, Conflict | Missing):
            return True
    raise StoreUnavailable("it changes all the time", node=node.name)


def _taken_over(key: bytes, node: Node, copy: Item, places: Places) -> Flow[Entry | None]:
    """Make a copy the home; None: things have changed meanwhile."""
    if not (yield from _is_alone(key, node, copy, places)):
        return None
    second = beside(node, places)
    home = copy._replace(kind=Kind.HOME, term=copy.next_term, copy=mark(second))
    ttl = copy.ends - places.now
    result = yield from commands.replace(key, home.pack(), ttl, copy.cas, node)
    if isinstance(result, Conflict | Missing):
        return None
    held = Held.at(node, home._replace(cas=int(result)))
    if second is not None:
        with suppress(*NOT_COPIED):  # the next write makes it
            yield from copied(key, held, ttl, second)
    return Entry(home.record, held)


def _is_alone(key: bytes, node: Node, copy: Item, places: Places) -> Flow[bool]:
    """Whether nothing else can be the home, nor become it."""
    before = True
    for other in places.all:
        if other is node:
            before = False
            continue
        there = yield from look_at(key, other)
        if there is None or (there.kind is Kind.GONE and there.generation < copy.generation):
            continue
        if there.kind is not Kind.COPY:
            return False
        # Of two that are alike one must give way, or each would be deleted for the other.
        if there.rank > copy.rank or (there.rank == copy.rank and before):
            return False
        result = yield from commands.delete(key, there.cas, other)
        if isinstance(result, Conflict):
            return False
    return True
