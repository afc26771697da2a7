"""The four verbs as Memcached's requests. No I/O, and nothing of either protocol.

``route`` is the node to ask; None: the one that has the key.

A version is the item's CAS number, which the server counts up with every write of any item. It
begins anew when the server is restarted, but so does the server's content, and no session is ever
created a second time under the same key. With ``copies=2`` one comes back to a restarted server:
docs/memcached.md says what that gives up.
"""

from __future__ import annotations

import re
from typing import Final

from sessionstore.core.errors import StoreRefused
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import Conflict, Deleted, Entry, Exists, Missing, Version
from sessionstore.stores.memcached.messages import GET, OK, Outcome, Reply, Request, Verb

NEVER: Final = 2**64 - 1
"""A CAS number that no item has: for versions of another store's. 0 would match every item."""

_KEY: Final = re.compile(rb"[!-~]{1,250}")


def load(key: bytes, route: object = None) -> Flow[Entry | None]:
    """Get, with the CAS number."""
    return (yield from Command(Request(GET, _checked(key)), _entry, key=key, route=route))


def create(key: bytes, value: bytes, ttl: float, route: object = None) -> Flow[Version | Exists]:
    """Add: atomic, and never without an expiry."""
    request = Request(Verb.ADD, _checked(key), value, ttl)
    return (yield from Command(request, _created, key=key, write=True, route=route))


def replace(
    key: bytes, value: bytes, ttl: float, version: Version, route: object = None
) -> Flow[Version | Conflict | Missing]:
    """Compare-and-set. After a conflict a second round trip for what is there now, because the
    server does not tell it along."""
    request = Request(Verb.REPLACE, _checked(key), value, ttl, _number(version))
    result = yield from Command(request, _replaced, key=key, write=True, route=route)
    return (yield from _current(key, route)) if result is None else result


def put(key: bytes, value: bytes, ttl: float, route: object) -> Flow[Version]:
    """Store, whatever is there."""
    request = Request(Verb.SET, _checked(key), value, ttl)
    return (yield from Command(request, _put, key=key, write=True, route=route))


def delete(
    key: bytes, version: Version | None, route: object = None
) -> Flow[Deleted | Conflict | Missing]:
    """Delete, or compare-and-delete."""
    request = Request(Verb.DELETE, _checked(key), cas=0 if version is None else _number(version))
    result = yield from Command(request, _deleted, key=key, write=True, route=route)
    return (yield from _current(key, route)) if result is None else result


def server(route: object = None) -> Flow[str]:
    """The server's name and version."""
    return (yield from Command(Request(Verb.VERSION), _version, route=route))


def _current(key: bytes, route: object) -> Flow[Conflict | Missing]:
    entry = yield from load(key, route)
    return Missing() if entry is None else Conflict(entry)


def _number(version: Version) -> int:
    return version if isinstance(version, int) and 0 < version < NEVER else NEVER


def _checked(key: bytes) -> bytes:
    # In a text protocol, a space or a line break in a key would be somebody else's command.
    if not _KEY.fullmatch(key):
        raise ValueError("a key of Memcached is 1 to 250 printable ASCII characters")
    return key


# -- replies: the conversation has seen to it that each fits its request --


def _entry(reply: Reply) -> Entry | None:
    if reply.outcome is OK and reply.value is not None:
        return Entry(reply.value, reply.cas)
    if reply.outcome is Outcome.MISSING:
        return None
    raise _unexpected(reply)


def _created(reply: Reply) -> Version | Exists:
    if reply.outcome is Outcome.OK:
        return reply.cas
    if reply.outcome in {Outcome.EXISTS, Outcome.NOT_STORED}:
        return Exists()
    raise _unexpected(reply)


def _put(reply: Reply) -> Version:
    if reply.outcome is Outcome.OK:
        return reply.cas
    raise _unexpected(reply)


def _replaced(reply: Reply) -> Version | Missing | None:
    """None: a conflict."""
    if reply.outcome is Outcome.OK:
        return reply.cas
    if reply.outcome in {Outcome.MISSING, Outcome.NOT_STORED}:
        return Missing()
    if reply.outcome is Outcome.EXISTS:
        return None
    raise _unexpected(reply)


def _deleted(reply: Reply) -> Deleted | Missing | None:
    """None: a conflict."""
    if reply.outcome is Outcome.OK:
        return Deleted()
    if reply.outcome is Outcome.MISSING:
        return Missing()
    if reply.outcome is Outcome.EXISTS:
        return None
    raise _unexpected(reply)


def _version(reply: Reply) -> str:
    if reply.value is None:
        raise _unexpected(reply)
    return f"memcached {reply.value.decode('ascii', 'replace')}"


def _unexpected(reply: Reply) -> StoreRefused:
    return StoreRefused(f"unexpected reply ({reply.outcome.name})")
