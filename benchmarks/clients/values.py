"""What is stored by the clients, and the prebuilt requests of a plain socket."""

from __future__ import annotations

import os
from typing import Final

from benchmarks.data import SIZE

TTL: Final = 3600
"""Seconds."""

Request = tuple[bytes, int]
"""What to send, and how many bytes the reply has."""


def key(number: int) -> bytes:
    """A key of each user's own, as long as a session's. Each client is a process."""
    return b"session:s:%08d%08d" % (os.getpid(), number)


def value(turn: int) -> bytes:
    """Begins as a record does, with its format and its revision; another one every other turn."""
    return b"\x01%012d" % (turn % 2) + b"v" * (SIZE - 13)


def redis_requests(number: int) -> dict[str, Request]:
    """GET and SET in RESP."""
    stored, name, ttl = value(0), key(number), b"%d" % (TTL * 1000)
    got = b"$%d\r\n%b\r\n" % (len(stored), stored)
    return {
        "get": (_resp(b"GET", name), len(got)),
        "set": (_resp(b"SET", name, stored, b"PX", ttl), len(b"+OK\r\n")),
    }


def _resp(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


def memcached_requests(number: int) -> dict[str, Request]:
    """get and set in the text protocol."""
    stored, name = value(0), key(number)
    got = b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (name, len(stored), stored)
    return {
        "get": (b"get %b\r\n" % name, len(got)),
        "set": (
            b"set %b 0 %d %d\r\n%b\r\n" % (name, TTL, len(stored), stored),
            len(b"STORED\r\n"),
        ),
    }
