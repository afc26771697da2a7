"""The meta protocol, which is text: memcached 1.6 and later, ElastiCache Serverless.

https://github.com/memcached/memcached/blob/master/doc/protocol.txt. Every request on an item is
sent with a number (``O``), which comes back with the reply. An error line has none; it is
attributed by its place, and what follows it has numbers again.
"""

from __future__ import annotations

import re
from typing import Final

from sessionstore.stores.memcached.messages import (
    GET,
    LARGEST_CONFIGURATION,
    LARGEST_VALUE,
    MOST_STATS,
    OK,
    Malformed,
    Outcome,
    Reply,
    Request,
    Verb,
)

LONGEST_LINE: Final = 8192
"""Bytes: four times what the server takes as a request's first line."""

HELLO: Final = b"mg sessionstore_says_hello\r\n"
"""An item that nobody has. Longer than the header of a binary request (24 bytes): a server that
speaks the binary protocol alone, as with SASL, waits for so many before it hangs up."""

_BEGINNINGS: Final = frozenset(b"HVENMSC")
_FLAG: Final = re.compile(rb"[A-Za-z][!-~]*")
_DIGITS: Final = re.compile(rb"0|[1-9][0-9]{0,19}")
_USUAL: Final = re.compile(rb"c(0|[1-9][0-9]{0,19}) O(0|[1-9][0-9]{0,19})")
"""The flags of most replies: what we ask for, in the order in which we do."""
_FOUND: Final = re.compile(rb"VA (0|[1-9][0-9]{0,9}) %b\r\n" % _USUAL.pattern)
"""Nearly every reply to a GET: an item, and its usual flags."""
_CONFIGURATION: Final = re.compile(rb"cluster [0-9]{1,10} ([0-9]+)")
"""Key, flags, size."""
_STATUS: Final = {
    b"HD": Outcome.OK,
    b"EN": Outcome.MISSING,
    b"NF": Outcome.MISSING,
    b"EX": Outcome.EXISTS,
    b"NS": Outcome.NOT_STORED,
}
_ERRORS: Final = (
    (b"CLIENT_ERROR unauthenticated", Outcome.UNAUTHENTICATED),
    (b"CLIENT_ERROR authentication failure", Outcome.UNAUTHENTICATED),
    (b"CLIENT_ERROR bad authentication token format", Outcome.UNAUTHENTICATED),
    (b"CLIENT_ERROR ", Outcome.INVALID),
    (b"SERVER_ERROR object too large for cache", Outcome.TOO_LARGE),
    (b"SERVER_ERROR out of memory storing object", Outcome.FULL),
    (b"SERVER_ERROR ", Outcome.FAILED),
    (b"ERROR Too many open connections", Outcome.CROWDED),
    (b"ERROR", Outcome.UNKNOWN),
)


class Meta:
    """See :class:`sessionstore.stores.memcached.messages.Codec`."""

    name = "meta"
    first_number = 1
    numbered = frozenset(
        (*(Verb.GET, Verb.GAT, Verb.TOUCH), *(Verb.ADD, Verb.REPLACE, Verb.SET, Verb.DELETE))
    )

    def pack(self, request: Request, opaque: int, expiry: int) -> bytes:
        """A request's bytes."""
        verb, key, value = request.verb, request.key, request.value
        if verb is GET:
            return b"mg %b c v O%d\r\n" % (key, opaque)
        if verb is Verb.ADD:
            return b"ms %b %d T%d ME c O%d\r\n%b\r\n" % (key, len(value), expiry, opaque, value)
        if verb is Verb.REPLACE:
            # MR, "replace": whatever a server makes of the number, it must not create.
            line = b"ms %b %d T%d MR C%d c O%d\r\n%b\r\n"
            return line % (key, len(value), expiry, request.cas, opaque, value)
        if verb is Verb.SET:
            return b"ms %b %d T%d c O%d\r\n%b\r\n" % (key, len(value), expiry, opaque, value)
        if verb is Verb.DELETE:
            compare = b"C%d " % request.cas if request.cas else b""
            return b"md %b %bO%d\r\n" % (key, compare, opaque)
        if verb is Verb.GAT or verb is Verb.TOUCH:
            return b"mg %b T%d c %bO%d\r\n" % (key, expiry, b"v " * (verb is Verb.GAT), opaque)
        if verb is Verb.AUTH:
            # Any key will do: the first "set" on a connection to "memcached -Y" is the log-in.
            return b"set sessionstore 0 0 %d\r\n%b\r\n" % (len(value), value)
        if verb is Verb.CONFIGURATION:
            return b"config get %b\r\n" % key
        if verb is Verb.STATS:
            return b"stats %b\r\n" % key if key else b"stats\r\n"
        return {Verb.HELLO: HELLO, Verb.NOOP: b"mn\r\n", Verb.VERSION: b"version\r\n"}[verb]

    def parser(self) -> MetaParser:
        """For a new connection."""
        return MetaParser()


class MetaParser:
    """See :class:`sessionstore.stores.memcached.messages.Parser`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stats: dict[str, str] | None = None
        # A reply whose value is still to come, and where that begins and ends.
        self._head: Reply | None = None
        self._begin = self._end = 0
        self._tail = b"\r\n"

    def feed(self, data: bytes | memoryview) -> None:
        """Add what has arrived."""
        self._buffer += data

    def has_data(self) -> bool:
        """Whether anything is left over."""
        return bool(self._buffer) or self._stats is not None

    def next(self) -> Reply | None:
        """The next whole reply."""
        if not self._buffer:
            return None
        if (found := self._found()) is not None:
            return found
        while True:
            if self._head is not None:
                return self._value(self._head)
            buffer = self._buffer
            if buffer and buffer[0] not in _BEGINNINGS:
                raise Malformed("the server's reply is not Memcached's text protocol")
            end = buffer.find(b"\r\n", 0, LONGEST_LINE)
            if end < 0:
                if len(buffer) >= LONGEST_LINE:
                    raise Malformed("the server's reply has a line that does not end")
                return None
            line = bytes(buffer[:end])
            reply = self._line(line, end + 2)
            if self._head is None:
                del buffer[: end + 2]
                if reply is not None:
                    return reply

    def _found(self) -> Reply | None:
        """The same as from the rest of :meth:`next`, if this is a whole item: for a third of the
        time."""
        buffer = self._buffer
        match = _FOUND.match(buffer) if self._head is None and self._stats is None else None
        if match is None:
            return None
        size, cas, opaque = match.groups()
        begin = match.end()
        end = begin + int(size)
        # What is too large, not whole yet or malformed is for the rest.
        if end - begin > LARGEST_VALUE or buffer[end : end + 2] != b"\r\n":
            return None
        value = bytes(memoryview(buffer)[begin:end])
        del buffer[: end + 2]
        return Reply(OK, value, int(cas), int(opaque))

    def _line(self, line: bytes, end: int) -> Reply | None:
        word, _, rest = line.partition(b" ")
        if self._stats is not None or word in {b"STAT", b"END"}:
            return self._stat(word, rest)
        if word in _STATUS:
            return _flagged(_STATUS[word], rest)
        if word == b"VA":
            size, _, flags = rest.partition(b" ")
            length = _number(size)
            if length > LARGEST_VALUE:
                raise Malformed("the server's reply claims to be too large")
            self._head = _flagged(Outcome.OK, flags)
            self._begin, self._end, self._tail = end, end + length, b"\r\n"
            return None
        if word == b"CONFIG":
            described = _CONFIGURATION.fullmatch(rest)
            if described is None:
                raise Malformed("the server's configuration is malformed")
            length = _number(described[1])
            if length > LARGEST_CONFIGURATION:
                raise Malformed("the server's reply claims to be too large")
            self._head = Reply(Outcome.OK, verb=Verb.CONFIGURATION)
            self._begin, self._end, self._tail = end, end + length, b"\r\nEND\r\n"
            return None
        if line in {b"MN", b"STORED"}:
            return Reply(Outcome.OK)
        if word == b"VERSION" and rest:
            return Reply(Outcome.OK, rest)
        for beginning, outcome in _ERRORS:
            if line.startswith(beginning):
                return Reply(outcome)
        raise Malformed("the server's reply is not Memcached's text protocol")

    def _value(self, head: Reply) -> Reply | None:
        buffer, end, tail = self._buffer, self._end, self._tail
        whole = end + len(tail)
        if len(buffer) < whole:
            return None
        if buffer[end:whole] != tail:
            raise Malformed("the server's reply has a value of another length than it says")
        value = bytes(memoryview(buffer)[self._begin : end])
        del buffer[:whole]
        self._head = None
        return Reply(head.outcome, value, head.cas, head.opaque, head.verb)

    def _stat(self, word: bytes, rest: bytes) -> Reply | None:
        stats = self._stats = {} if self._stats is None else self._stats
        if word == b"END" and not rest:
            self._stats = None
            return Reply(Outcome.OK, stats=stats)
        name, _, value = rest.partition(b" ")
        if word != b"STAT" or not name or len(stats) >= MOST_STATS:
            raise Malformed("the server's statistics are malformed")
        stats[name.decode("latin-1")] = value.decode("latin-1")
        return None


def _flagged(outcome: Outcome, flags: bytes) -> Reply:
    usual = _USUAL.fullmatch(flags)
    if usual is not None:
        return Reply(outcome, None, int(usual[1]), int(usual[2]))
    cas, opaque = 0, None
    for flag in flags.split(b" ") if flags else ():
        if not _FLAG.fullmatch(flag):
            raise Malformed("the server's reply has a malformed flag")
        # Others may come unasked: W and X on an item that somebody has marked as stale.
        if flag[:1] == b"c":
            cas = _number(flag[1:])
        elif flag[:1] == b"O":
            opaque = _number(flag[1:])
    return Reply(outcome, cas=cas, opaque=opaque)


def _number(digits: bytes) -> int:
    if not _DIGITS.fullmatch(digits):
        raise Malformed("the server's reply has something else where a number belongs")
    return int(digits)
