"""The binary protocol: what SASL needs. Deprecated by memcached, and refused by ElastiCache
Serverless, but there is no SASL in the text protocols.

https://github.com/memcached/memcached/blob/master/doc/protocol-binary.txt. A packet is a header of
24 bytes and a body: extras, key, value. Every reply repeats the request's opcode and number.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from sessionstore.stores.memcached.messages import (
    EXPIRING,
    LARGEST_VALUE,
    MOST_STATS,
    STORING,
    VALUED,
    Malformed,
    Outcome,
    Reply,
    Request,
    Verb,
)

REQUEST: Final = 0x80
RESPONSE: Final = 0x81
# magic, opcode, key length, extras length, data type, status (or vbucket), body length, opaque, CAS
HEADER: Final = Struct("!BBHBBHIIQ")
LARGEST_BODY: Final = LARGEST_VALUE + 1024

_OPCODES: Final = {
    Verb.GET: 0x00,
    Verb.SET: 0x01,
    Verb.ADD: 0x02,
    # With a CAS number it compares. REPLACE and not SET, which would create if that were 0.
    Verb.REPLACE: 0x03,
    Verb.DELETE: 0x04,
    Verb.NOOP: 0x0A,
    Verb.VERSION: 0x0B,
    Verb.STATS: 0x10,
    Verb.TOUCH: 0x1C,
    Verb.GAT: 0x1D,
    Verb.CONFIGURATION: 0x60,
    Verb.MECHANISMS: 0x20,
    Verb.AUTH: 0x21,
    Verb.STEP: 0x22,
}
_VERBS: Final = {opcode: verb for verb, opcode in _OPCODES.items()}
_STATUS: Final = {
    0x00: Outcome.OK,
    0x01: Outcome.MISSING,
    0x02: Outcome.EXISTS,
    0x03: Outcome.TOO_LARGE,
    0x04: Outcome.INVALID,
    0x05: Outcome.NOT_STORED,
    # The protocol's page has 0x08 and 0x09 for logging in; memcached says 0x20 and 0x21.
    0x08: Outcome.UNAUTHENTICATED,
    0x09: Outcome.CONTINUE,
    0x20: Outcome.UNAUTHENTICATED,
    0x21: Outcome.CONTINUE,
    0x81: Outcome.UNKNOWN,
    0x82: Outcome.FULL,
    0x83: Outcome.UNKNOWN,
}
_STORED: Final = Struct("!II")  # flags, expiry
_TOUCHED: Final = Struct("!I")  # expiry
_NO_SLOT: Final = b"ERROR Too many open connections\r\n"
"""What memcached says in every protocol, before it knows which."""


class Binary:
    """See :class:`sessionstore.stores.memcached.messages.Codec`."""

    name = "binary"
    # "\r\n\r\n": a server that speaks text alone takes the packet for a line, and says so at once;
    # otherwise it would wait for the end of one.
    first_number = 0x0D0A0D0A
    numbered = frozenset(Verb)

    def pack(self, request: Request, opaque: int, expiry: int) -> bytes:
        """A request's bytes."""
        verb, key, value = request.verb, request.key, request.value
        extras = b""
        if verb in EXPIRING:
            extras = _STORED.pack(0, expiry) if verb in STORING else _TOUCHED.pack(expiry)
        size = len(extras) + len(key) + len(value)
        head = HEADER.pack(
            *(REQUEST, _OPCODES[verb], len(key), len(extras), 0, 0, size, opaque, request.cas)
        )
        return b"%b%b%b%b" % (head, extras, key, value)

    def parser(self) -> BinaryParser:
        """For a new connection."""
        return BinaryParser()


class BinaryParser:
    """See :class:`sessionstore.stores.memcached.messages.Parser`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = HEADER.size
        # Statistics come in a packet each; the number is of the request that they answer.
        self._stats: dict[str, str] | None = None
        self._number = 0

    def feed(self, data: bytes | memoryview) -> None:
        """Add what has arrived."""
        self._buffer += data

    def has_data(self) -> bool:
        """Whether anything is left over."""
        return bool(self._buffer) or self._stats is not None

    def next(self) -> Reply | None:
        """The next whole reply."""
        buffer = self._buffer
        while True:
            if buffer and buffer[0] != RESPONSE:
                return self._other()
            # Looked at once for each packet, however many portions it comes in.
            if len(buffer) < self._needed:
                return None
            header = HEADER.unpack_from(buffer)
            needed = _checked_size(header)
            if len(buffer) < needed:
                self._needed = needed
                return None
            body = bytes(memoryview(buffer)[HEADER.size : needed])
            del buffer[:needed]
            self._needed = HEADER.size
            reply = self._packet(header, body)
            if reply is not None:
                return reply

    def _other(self) -> Reply | None:
        buffer = self._buffer
        if buffer.startswith(_NO_SLOT):
            del buffer[: len(_NO_SLOT)]
            return Reply(Outcome.CROWDED)
        if _NO_SLOT.startswith(bytes(buffer)):
            return None
        raise Malformed(
            "the server's reply is not Memcached's binary protocol (does protocol=meta fit?)"
        )

    def _packet(self, header: tuple[int, ...], body: bytes) -> Reply | None:
        _, opcode, key_size, extras_size, _, status, _, opaque, cas = header
        verb = _VERBS.get(opcode)
        if verb is None:
            raise Malformed("the server answers a request that nobody has sent")
        outcome = _STATUS.get(status, Outcome.FAILED)
        if self._stats is not None or (verb is Verb.STATS and outcome is Outcome.OK):
            if verb is not Verb.STATS or outcome is not Outcome.OK:
                raise Malformed("the server's statistics are malformed")
            begin = extras_size + key_size
            return self._stat(body[extras_size:begin], body[begin:], opaque)
        valued = outcome is Outcome.OK and verb in VALUED
        value = body[extras_size + key_size :] if valued else None
        return Reply(outcome, value, cas, opaque, verb)

    def _stat(self, name: bytes, value: bytes, opaque: int) -> Reply | None:
        if self._stats is None:
            self._stats, self._number = {}, opaque
        stats = self._stats
        if opaque != self._number or len(stats) >= MOST_STATS or (value and not name):
            raise Malformed("the server's statistics are malformed")
        if name:
            stats[name.decode("latin-1")] = value.decode("latin-1")
            return None
        self._stats = None
        return Reply(Outcome.OK, None, 0, opaque, Verb.STATS, stats)


def _checked_size(header: tuple[int, ...]) -> int:
    """How long a packet with this header is."""
    _, _, key_size, extras_size, data_type, _, body_size, _, _ = header
    if data_type or key_size + extras_size > body_size or body_size > LARGEST_BODY:
        raise Malformed("the server's reply has a malformed header")
    return HEADER.size + body_size
