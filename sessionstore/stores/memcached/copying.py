"""The second item of a session that is on two servers (``copies=2``). No I/O."""

from __future__ import annotations

from typing import Final

from sessionstore.core.errors import SessionTooLarge, StoreError, StoreUnavailable
from sessionstore.core.flow import Flow
from sessionstore.stores.base import Conflict, Exists, Missing
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.items import Held, Item, Kind
from sessionstore.stores.memcached.topology import Node

TRIES: Final = 16
"""Of what others change meanwhile. Each time, one of them gets on."""

NOT_COPIED: Final = (StoreError, SessionTooLarge)
"""What a copy's server may say when the home has the write already. It may take smaller items."""


def look_at(key: bytes, node: Node) -> Flow[Item | None]:
    """What is there."""
    entry = yield from commands.load(key, node)
    return None if entry is None else Item.unpack(entry)


def copied(key: bytes, held: Held, ttl: float, node: Node) -> Flow[bool]:
    """Have a server's copy be as new as the home.

    :param held: what is at home, or was
    :return: whether what was written there counts; False: the home may have been lost before
    """
    item = held.item
    for _ in range(TRIES):
        there = yield from look_at(key, node)
        result: object
        if there is None:
            result = yield from commands.create(key, item.copied(), ttl, node)
            if not isinstance(result, Exists):
                return (yield from _is_confirmed(key, held, ttl, int(result), node))
            continue
        if there.kind is Kind.COPY and there.follows(item):
            return True  # a later write was faster
        if there.kind is not Kind.COPY or there.term > item.term:
            home = yield from look_at(key, held.node)
            if there.kind is Kind.HOME or not _is_home(home, item):
                return _was_destroyed(home, item)
        result = yield from commands.replace(key, item.copied(), ttl, there.cas, node)
        if not isinstance(result, Conflict | Missing):
            return True
    raise StoreUnavailable("it changes all the time", node=node.name)


def _is_confirmed(key: bytes, held: Held, ttl: float, cas: int, node: Node) -> Flow[bool]:
    """Whether a new copy counts. What was there before may have been lost, a tombstone too."""
    home, item = (yield from look_at(key, held.node)), held.item
    if home is None:
        return False
    if home.kind is Kind.GONE:
        yield from commands.delete(key, cas, node)
    elif _is_home(home, item) and home.number > item.number:
        # Nobody may take this one for the newest, if the home is lost.
        ttl = max(ttl + home.ends - item.ends, 1)
        yield from commands.replace(key, home.copied(), ttl, cas, node)
    return _is_home(home, item) or _was_destroyed(home, item)


def _is_home(there: Item | None, item: Item) -> bool:
    """Whether this is the home still, with that write or a later one."""
    return there is not None and there.kind is Kind.HOME and there.follows(item)


def _was_destroyed(there: Item | None, item: Item) -> bool:
    """Whether this is its tombstone, with that write or a later one before it."""
    return there is not None and there.kind is Kind.GONE and there.follows(item)
