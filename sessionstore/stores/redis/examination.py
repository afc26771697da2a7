"""What a server tells of how it is set up, as a flow. No I/O, and nothing of redis-py.

It asks what any user may be forbidden to ask; what is refused is noted and left out. The one
exception is the first command: a ``GET``, without which there are no sessions at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from sessionstore.core.errors import StoreError, StoreRefused
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.facts import Permissions, RedisFacts, RedisUser, whole_number
from sessionstore.stores.redis import commands

T = TypeVar("T")

SETTINGS: Final = ("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save")
SAMPLES: Final = 50
"""Sessions whose size is asked."""
SCANS: Final = 20
"""Rounds of SCAN at most: a server full of other keys must not be searched through."""
PROBE_TTL: Final = 60.0
UNCOUNTED: Final = 64
"""Bytes that a key with a TTL takes beside what ``MEMORY USAGE`` says: its entry in the table of
expiries, and its slots in both hash tables."""


class _Looking:
    """Asks, and notes what was refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def ask(self, name: str, *request: Any, decode: Callable[[Any], T]) -> Flow[T | None]:
        """The decoded reply; None if the server does not let us ask."""
        words = name.split()
        try:
            return (yield from Command((*words, *request), decode))
        except StoreRefused:
            if name not in self.refused:
                self.refused.append(name)
            return None


def examine(prefix: str, pattern: bytes, probe: tuple[bytes, bytes]) -> Flow[RedisFacts]:
    """All that can be found out by asking: not how the server is reached.

    :param pattern: that every session key matches, and no other
    :param probe: a key that no session has, and a record of usual size to store there if there
        is no session to measure
    :raises StoreError: the server cannot be reached, or does not even let us ``GET``
    """
    yield from commands.load(probe[0])
    looking = _Looking()
    server = yield from looking.ask("HELLO", decode=commands.hello)
    info = (yield from looking.ask("INFO", decode=_info)) or {}
    config = yield from _config(looking)
    user = yield from _user(looking)
    size, sampled = yield from _session_size(looking, pattern, probe)
    return RedisFacts(
        server=server,
        refused=tuple(looking.refused),
        prefix=prefix,
        eviction=info.get("maxmemory_policy", config.get("maxmemory-policy")),
        evicted=whole_number(info.get("evicted_keys")),
        maxmemory=whole_number(info.get("maxmemory", config.get("maxmemory"))),
        used=_used(info),
        session_bytes=size,
        sampled=sampled,
        aof=_aof(info, config),
        fsync=config.get("appendfsync"),
        snapshots=config.get("save"),
        save_failed=_save_failed(info),
        role=info.get("role"),
        replicas=whole_number(info.get("connected_slaves")),
        user=user,
    )


def _config(looking: _Looking) -> Flow[dict[str, str]]:
    config: dict[str, str] = {}
    for name in SETTINGS:  # one at a time: several in one command are new in Redis 7
        found = yield from looking.ask("CONFIG GET", name, decode=_texts)
        if found is None:
            break
        config |= found
    return config


def _user(looking: _Looking) -> Flow[RedisUser | None]:
    name = yield from looking.ask("ACL WHOAMI", decode=_text)
    if name is None:
        return None
    user = yield from looking.ask("ACL GETUSER", name, decode=partial(_rules, name))
    return RedisUser(name) if user is None else user


def _rules(name: str, reply: Any) -> RedisUser:
    # Never the passwords, though they are hashed.
    found = _pairs(reply)
    selectors = map(_pairs, _list(found.get("selectors") or []))
    return RedisUser(
        name,
        frozenset(_words(found.get("flags"))),
        tuple(_permissions(rules) for rules in (found, *selectors)),
    )


def _permissions(rules: dict[str, Any]) -> Permissions:
    # Redis 6 lists the patterns without their "~".
    keys = tuple(key if key[:1] in "~%" else f"~{key}" for key in _words(rules.get("keys")))
    return Permissions(tuple(_words(rules.get("commands"))), keys)


def _session_size(
    looking: _Looking, pattern: bytes, probe: tuple[bytes, bytes]
) -> Flow[tuple[int | None, int]]:
    key, value = probe
    keys = yield from _some_keys(looking, pattern)
    # The probe is not there yet: this asks whether it could be measured.
    sizes = yield from _sizes(looking, keys or [key])
    if sizes:
        return UNCOUNTED + sum(sizes) // len(sizes), len(sizes)
    if "MEMORY USAGE" in looking.refused:
        return None, 0
    try:
        yield from commands.create(key, value, PROBE_TTL)
        sizes = yield from _sizes(looking, [key])
        yield from commands.delete(key, None)
    except StoreError:
        # The server takes no writes, or not from us: another finding's matter.
        return None, 0
    return (UNCOUNTED + sizes[0] if sizes else None), 0


def _some_keys(looking: _Looking, pattern: bytes) -> Flow[list[bytes]]:
    keys: list[bytes] = []
    cursor = b"0"
    for _ in range(SCANS):
        reply = yield from looking.ask(
            "SCAN", cursor, "MATCH", pattern, "COUNT", 1000, decode=_scanned
        )
        if reply is None:
            break
        cursor, found = reply
        keys += found
        if cursor == b"0" or len(keys) >= SAMPLES:
            break
    return keys[:SAMPLES]


def _sizes(looking: _Looking, keys: Sequence[bytes]) -> Flow[list[int]]:
    sizes = []
    for key in keys:
        size = yield from looking.ask("MEMORY USAGE", key, decode=_size)
        if "MEMORY USAGE" in looking.refused:
            break
        if size is not None:  # it has not ended meanwhile
            sizes.append(size)
    return sizes


# -- replies --


def _text(reply: Any) -> str:
    if type(reply) is not bytes:
        raise StoreRefused(f"unexpected reply: a {type(reply).__name__}")
    return reply.decode("utf-8", "replace")


def _list(reply: Any) -> list[Any]:
    if not isinstance(reply, list):
        raise StoreRefused(f"unexpected reply: a {type(reply).__name__}")
    return reply


def _pairs(reply: Any) -> dict[str, Any]:
    if len(_list(reply)) % 2:
        raise StoreRefused("unexpected reply: an odd number of pairs")
    return {_text(key): value for key, value in zip(reply[::2], reply[1::2], strict=True)}


def _texts(reply: Any) -> dict[str, str]:
    return {name: _text(value) for name, value in _pairs(reply).items()}


def _words(reply: Any) -> list[str]:
    if isinstance(reply, list):
        return [_text(word) for word in reply]
    return _text(reply).split() if reply else []


def _scanned(reply: Any) -> tuple[bytes, list[bytes]]:
    cursor, keys = _list(reply) if len(_list(reply)) == 2 else (None, None)
    if type(cursor) is not bytes or any(type(key) is not bytes for key in _list(keys)):
        raise StoreRefused("unexpected reply: no cursor and keys")
    return cursor, _list(keys)


def _size(reply: Any) -> int | None:
    return reply if type(reply) is int else None


def _info(reply: Any) -> dict[str, str]:
    lines = (line.partition(":") for line in _text(reply).splitlines())
    return {name: value for name, colon, value in lines if colon}


# -- what they mean --


def _used(info: dict[str, str]) -> int | None:
    used = whole_number(info.get("used_memory"))
    if used is None:
        return None
    return max(0, used - (whole_number(info.get("mem_not_counted_for_evict")) or 0))


def _aof(info: dict[str, str], config: dict[str, str]) -> bool | None:
    if "aof_enabled" in info:
        return info["aof_enabled"] == "1"
    return config["appendonly"] == "yes" if "appendonly" in config else None


def _save_failed(info: dict[str, str]) -> str | None:
    if not info:
        return None
    if info.get("aof_enabled") == "1" and info.get("aof_last_write_status", "ok") != "ok":
        return "AOF"
    return "RDB" if info.get("rdb_last_bgsave_status", "ok") != "ok" else ""
