"""The four verbs as Redis commands. No I/O, and nothing of redis-py.

A request is a tuple as Redis takes it: ``("GET", key)``. A reply is what RESP2 gives: bytes, int
or None; an error reply never gets here, the transport raises it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, Final, TypeVar

from sessionstore.core.errors import NotReplicated, StoreRefused
from sessionstore.core.expiry import MAX_LIFETIME
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import (
    REVISION,
    Conflict,
    Deleted,
    Entry,
    Exists,
    Missing,
    Version,
)
from sessionstore.stores.redis.failures import ScriptMissing

T = TypeVar("T")


class Script:
    """A Lua script, known to the server by its SHA-1."""

    def __init__(self, source: str) -> None:
        self.source: Final = source.encode()
        # Redis names scripts by SHA-1; nothing depends on its strength.
        self.sha: Final = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()


# Both scripts answer 1 (done), nil (no such key) or the current value (a conflict), so that the
# three cannot be confused. GET and not GETRANGE: the least-privilege ACL in the documentation
# allows GET only, and on a conflict the whole value is needed anyway.
REPLACE: Final = Script(
    """\
local value = redis.call('GET', KEYS[1])
if not value then return false end
if string.sub(value, 2, 13) ~= ARGV[1] then return value end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
)
DELETE: Final = Script(
    """\
local value = redis.call('GET', KEYS[1])
if not value then return false end
if string.sub(value, 2, 13) ~= ARGV[1] then return value end
redis.call('DEL', KEYS[1])
return 1
"""
)


class Route(Enum):
    """How a command is to be carried, where there is a choice (``Command.route``)."""

    REPLICA = "a replica will do"
    """The reply comes as ``(reply, whether it may be behind)``."""
    DURABLE = "a replica is to confirm it"
    """Raises ``NotReplicated`` if none does."""


def load(key: bytes) -> Flow[Entry | None]:
    """``GET``."""
    return (yield from Command(("GET", key), _entry, key=key))


def load_from_replica(key: bytes) -> Flow[Entry | None]:
    """``GET``, perhaps from a replica. What is not there may be too new: the primary knows."""
    entry, may_lag = yield from Command(("GET", key), _copy, key=key, route=Route.REPLICA)
    if entry is None and may_lag:
        return (yield from load(key))
    return entry


def create(
    key: bytes, value: bytes, ttl: float, route: Route | None = None
) -> Flow[Version | Exists]:
    """``SET NX PX``: atomic, and never without an expiry."""
    request = ("SET", key, value, "NX", "PX", milliseconds(ttl))
    decode = partial(_created, value[REVISION])
    return (yield from _write(Command(request, decode, key=key, write=True, route=route)))


def replace(
    key: bytes, value: bytes, ttl: float, version: Version, route: Route | None = None
) -> Flow[Version | Conflict | Missing]:
    """Compare-and-set."""
    decode = partial(_compared, value[REVISION])
    return (yield from _script(REPLACE, key, (version, value, milliseconds(ttl)), decode, route))


def delete(
    key: bytes, version: Version | None, route: Route | None = None
) -> Flow[Deleted | Conflict | Missing]:
    """``DEL``, or compare-and-delete."""
    if version is None:
        command = Command(("DEL", key), _removed, key=key, write=True, route=route)
        return (yield from _write(command))
    return (yield from _script(DELETE, key, (version,), partial(_compared, Deleted()), route))


def server() -> Flow[str]:
    """The server's name and version. ``HELLO``, because a least-privilege user may not ``INFO``."""
    return (yield from Command(("HELLO",), hello))


def milliseconds(ttl: float) -> int:
    """A TTL as Redis takes it: at least 1 ms, and no more than an expiry can hold.

    >>> milliseconds(0.5), milliseconds(1e-9), milliseconds(float("inf"))
    (500, 1, 3153600000000)
    """
    return max(1, int(min(ttl, MAX_LIFETIME) * 1000))


def _script(
    script: Script,
    key: bytes,
    arguments: tuple[Any, ...],
    decode: Callable[[Any], T],
    route: Route | None,
) -> Flow[T]:
    try:
        request = ("EVALSHA", script.sha, 1, key, *arguments)
        return (yield from _write(Command(request, decode, key=key, write=True, route=route)))
    except ScriptMissing:
        # After a restart, a failover or SCRIPT FLUSH. EVAL also loads it, for the next time.
        request = ("EVAL", script.source, 1, key, *arguments)
        return (yield from _write(Command(request, decode, key=key, write=True, route=route)))


def _write(command: Command[T]) -> Flow[T]:
    try:
        return (yield from command)
    except NotReplicated as shortfall:
        result = command.decode(shortfall.reply)
        if isinstance(result, (Exists, Conflict, Missing)):
            return result  # nothing was written: there is nothing to confirm
        shortfall.result = result
        raise


# -- replies: a type that is not expected is an error, never a guess --


def _unexpected(command: str, reply: object) -> StoreRefused:
    return StoreRefused(f"unexpected reply to {command}: a {type(reply).__name__}")


def _entry(reply: Any) -> Entry | None:
    if reply is None:
        return None
    if type(reply) is not bytes:
        raise _unexpected("GET", reply)
    return Entry(reply, reply[REVISION])


def _copy(answer: tuple[Any, bool]) -> tuple[Entry | None, bool]:
    reply, may_lag = answer
    entry = _entry(reply)
    return (entry._replace(may_lag=may_lag) if entry else None), may_lag


def _created(version: Version, reply: Any) -> Version | Exists:
    if reply == b"OK":
        return version
    if reply is None:
        return Exists()
    raise _unexpected("SET", reply)


def _compared(done: T, reply: Any) -> T | Conflict | Missing:
    if type(reply) is int and reply == 1:
        return done
    if reply is None:
        return Missing()
    if type(reply) is bytes:
        return Conflict(Entry(reply, reply[REVISION]))
    raise _unexpected("EVALSHA", reply)


def _removed(reply: Any) -> Deleted | Missing:
    if type(reply) is int and reply in {0, 1}:
        return Deleted() if reply else Missing()
    raise _unexpected("DEL", reply)


def hello(reply: Any) -> str:
    """The server's name and version, from the reply to ``HELLO``."""
    facts = _hello_facts(reply)
    return f"{_fact(facts, b'server')} {_fact(facts, b'version')}"


def role(reply: Any) -> str:
    """``"master"``, ``"replica"``..., from the reply to ``HELLO``."""
    return _fact(_hello_facts(reply), b"role")


def _hello_facts(reply: Any) -> dict[bytes, Any]:
    if not isinstance(reply, list) or len(reply) % 2:
        raise _unexpected("HELLO", reply)
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return {name: value for name, value in pairs if type(name) is bytes}


def _fact(facts: dict[bytes, Any], name: bytes) -> str:
    value = facts.get(name)
    if type(value) is not bytes:
        raise _unexpected("HELLO", value)
    return value.decode("ascii", "replace")
