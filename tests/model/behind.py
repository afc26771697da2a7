"""What the model does to a store, and sees of it, past what is tested."""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator
from typing import Protocol

from sessionstore.core.flow import Command, Flow, T, run
from sessionstore.stores.base import Store
from sessionstore.stores.memcached import commands
<<<<<<< HEAD
from sessionstore.stores.memcached.copies import Item, Kind
from sessionstore.stores.memcached.membership import Places
=======
from sessionstore.stores.memcached.items import Item, Kind
from sessionstore.stores.memcached.places import Places
>>>>>>> main
from sessionstore.stores.memcached.routing import Look
from sessionstore.stores.memcached.topology import Node
from tests.model.stepping import ONE_COMMAND


class Lose(enum.Enum):
    """What a store loses of a session."""

    ALL = "whatever it has of it"
    FIRST = "what is on the server that is asked first"
    SECOND = "what is on the next one"


class Behind(Protocol):
    """Looks at a store, and takes from it."""

    def value(self, key: bytes) -> bytes | None:
        """What is stored under a key; changes nothing."""

    def lose(self, key: bytes, what: Lose) -> None:
        """As if evicted."""


class ByItsVerbs:
    """Where a session is in one place."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def value(self, key: bytes) -> bytes | None:
        """By a load, which is one read."""
        entry = at_once(self._store, self._store.load(key))
        return None if entry is None else entry.value

    def lose(self, key: bytes, what: Lose) -> None:
        """By a delete, whatever is there."""
        at_once(self._store, self._store.delete(key))


class TwoCopies:
    """Memcached with ``copies=2``, whose load would mend what it finds: so the items themselves."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def value(self, key: bytes) -> bytes | None:
        """The home's, or the copy's that would be made the home."""
        copies = []
        for node in self._nodes(key):
            entry = at_once(self._store, commands.load(key, node))
            item = None if entry is None else Item.unpack(entry)
            if item is None:
                continue
            if item.kind is Kind.GONE:
                return None
            if item.kind is Kind.HOME:
                return item.record
            copies.append(item)
        return max(copies, key=lambda copy: copy.rank).record if copies else None

    def lose(self, key: bytes, what: Lose) -> None:
        """Items, without a tombstone."""
        nodes = list(self._nodes(key))
        chosen = {Lose.ALL: nodes, Lose.FIRST: nodes[:1], Lose.SECOND: nodes[1:2]}[what]
        for node in chosen:
            at_once(self._store, commands.delete(key, None, node))

    def _nodes(self, key: bytes) -> Iterator[Node]:
        places: Places = at_once(self._store, _alone(Command(Look.PLACES, key=key)))
        yield from places.look
        yield from places.others


def _alone(command: Command[T]) -> Flow[T]:
    """A flow of this command alone."""
    return (yield from command)


def at_once(store: Store, flow: Flow[T]) -> T:
    """Carry a flow to the store, past all faults."""
    return run(flow, lambda command: store.execute(command, time.monotonic() + ONE_COMMAND))
