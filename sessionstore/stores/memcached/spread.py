"""The four verbs where a lost server's share of the sessions goes to the next one
(``failover=next``). No I/O.

A session is on one server for as long as it lives: the one that had its key's share when it was
made. So it is looked for on the key's server and, if that does not have it, on the next, and so on:
several may have been away at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import Conflict, Deleted, Entry, Exists, Missing, Version
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.places import Places
from sessionstore.stores.memcached.routing import Look
from sessionstore.stores.memcached.topology import Node

T = TypeVar("T")


class Placed(int):
    """A version: an item's CAS number, and the server that counts it."""

    node: Node

    @classmethod
    def on(cls, node: Node, number: Version) -> Placed:
        """The number, on this server."""
        placed = cls(int(number))
        placed.node = node
        return placed


def load(key: bytes) -> Flow[Entry | None]:
    """From wherever it is."""
    return (yield from _found(key, write=False))


def _found(key: bytes, *, write: bool) -> Flow[Entry | None]:
    def look(node: Node) -> Flow[Entry | None]:
        entry = yield from commands.load(key, node)
        return entry and entry._replace(version=Placed.on(node, entry.version))

    return (yield from _first(key, look, write=write))


def _first(key: bytes, ask: Callable[[Node], Flow[T | None]], *, write: bool) -> Flow[T | None]:
    """What the first server says that has this key; the likeliest are asked first."""
    places: Places = yield from Command(Look.PLACES, key=key, write=write)
    for node in places.all:
        if (answer := (yield from ask(node))) is not None:
            return answer
    return None


def create(key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
    """On the first server that everybody knows to be in."""
    places: Places = yield from Command(Look.PLACES, key=key, write=True)
    node = places.make[0]
    result = yield from commands.create(key, value, ttl, node)
    return result if isinstance(result, Exists) else Placed.on(node, result)


def replace(
    key: bytes, value: bytes, ttl: float, version: Version
) -> Flow[Version | Conflict | Missing]:
    """Where it was found."""
    if not isinstance(version, Placed):
        return (yield from _current(key))
    result = yield from commands.replace(key, value, ttl, version, version.node)
    if isinstance(result, Conflict):
        return _placed(result, version.node)
    return result if isinstance(result, Missing) else Placed.on(version.node, result)


def delete(key: bytes, version: Version | None) -> Flow[Deleted | Conflict | Missing]:
    """Where it was found; or wherever it is, because what is nowhere cannot come back."""
    if isinstance(version, Placed):
        result = yield from commands.delete(key, version, version.node)
        return _placed(result, version.node) if isinstance(result, Conflict) else result
    if version is not None:
        return (yield from _current(key))

    def end(node: Node) -> Flow[Deleted | None]:
        result = yield from commands.delete(key, None, node)
        return result if isinstance(result, Deleted) else None

    deleted = yield from _first(key, end, write=True)
    return Missing() if deleted is None else deleted


def _current(key: bytes) -> Flow[Conflict | Missing]:
    """For a version of another store's, which nothing has."""
    entry = yield from _found(key, write=True)
    return Missing() if entry is None else Conflict(entry)


def _placed(conflict: Conflict, node: Node) -> Conflict:
    entry = conflict.entry
    return Conflict(entry._replace(version=Placed.on(node, entry.version)))
