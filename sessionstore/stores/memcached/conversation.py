"""One connection's bytes, both ways: requests are numbered, and replies matched to them. No I/O.

Replies come in the order of the requests, and each must fit its own. One that does not is the end
of the connection: the next reply might be another user's session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import ceil
from typing import Final

from sessionstore.core.errors import SessionTooLarge
from sessionstore.core.expiry import MAX_LIFETIME
from sessionstore.stores.memcached.messages import EXPIRING, Codec, Malformed, Reply, Request, fits

LONGEST_RELATIVE: Final = 30 * 86400
"""Seconds: what is more, Memcached takes for a time since 1970."""
LATEST: Final = 2**31 - 1
"""In January 2038: the meta protocol's expiry has 32 bits, with a sign."""

ITEM_OVERHEAD: Final = 64
"""Bytes of an item beside its key and value: 59 in memcached 1.6 on 64 bits, with a CAS number."""


def expiry(ttl: float, now: float) -> int:
    """A TTL as Memcached takes it: seconds from now, or over 30 days a time since 1970. Never 0,
    which would be for ever.

    An item may live up to two seconds longer: Memcached's clock ticks once a second, and an item
    loses the rest of the one in which it was stored. Nobody is logged out early, and the record
    itself says when it is over.

    :param now: seconds since 1970

    >>> expiry(60, now=1_800_000_000), expiry(0.02, now=1_800_000_000)
    (61, 2)
    >>> expiry(31 * 86400, now=1_800_000_000)
    1802678401
    """
    seconds = ceil(min(ttl, MAX_LIFETIME)) + 1
    today = int(now)
    seconds = min(seconds, max(LATEST - today, LONGEST_RELATIVE))
    return seconds if seconds <= LONGEST_RELATIVE else today + seconds


class Conversation:
    """What is asked and answered on one connection."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._parser = codec.parser()
        self._number = codec.first_number
        self._pending: deque[tuple[Request, int]] = deque()

    def ask(self, request: Request, now: float) -> bytes:
        """What to send for one more request.

        :param now: seconds since 1970
        """
        number, self._number = self._number, (self._number + 1) & 0xFFFFFFFF
        self._pending.append((request, number))
        expires = expiry(request.ttl, now) if request.verb in EXPIRING else 0
        return self._codec.pack(request, number, expires)

    def hear(self, data: bytes | memoryview) -> Iterator[Reply]:
        """The replies that are whole now, each for the oldest request that had none.

        :raises Malformed: this connection must not be used again
        """
        parser, pending = self._parser, self._pending
        parser.feed(data)
        while (reply := parser.next()) is not None:
            if not pending:
                raise Malformed("the server sent more than the replies")
            request, number = pending.popleft()
            if not fits(request, number, reply, self._codec.numbered):
                raise Malformed("the server's reply does not belong to the request")
            yield reply

    def is_over(self) -> bool:
        """Whether every request has its whole reply, and nothing beyond."""
        return not self._pending and not self._parser.has_data()


def check_size(request: Request, item_size: float) -> None:
    """Keep an item that the server would not take from being sent: it would delete what is there.

    :param item_size: the server's limit, in bytes
    :raises SessionTooLarge: over it
    """
    size = len(request.value)
    if size and size > (room := item_size - ITEM_OVERHEAD - len(request.key)):
        raise SessionTooLarge(size, int(room), ())
