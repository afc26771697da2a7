"""What a Memcached server says: both protocols as bytes, and replies as what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from sessionstore.cli.diagnosis import diagnose
from sessionstore.core.errors import StoreError
from sessionstore.core.flow import Command, run
from sessionstore.stores.attempts import Failure
from sessionstore.stores.credentials import Credential
from sessionstore.stores.facts import Link
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.binary import HEADER, Binary
from sessionstore.stores.memcached.conversation import Conversation
from sessionstore.stores.memcached.examination import examine
from sessionstore.stores.memcached.failures import from_reply
from sessionstore.stores.memcached.login import Greeting
from sessionstore.stores.memcached.messages import (
    ERRORS,
    VALUED,
    Codec,
    Malformed,
    Outcome,
    Reply,
    Request,
    Verb,
    fits,
)
from sessionstore.stores.memcached.meta import Meta
from tests.fuzz.source import Source
from tests.support.portions import parsed, portions

KEY: Final = b"fuzz:s:h"
REQUESTS: Final = (
    Request(Verb.GET, KEY),
    Request(Verb.ADD, KEY, b"v", 60),
    Request(Verb.REPLACE, KEY, b"v", 60, 5),
    Request(Verb.DELETE, KEY),
    Request(Verb.DELETE, KEY, cas=5),
    Request(Verb.NOOP),
    Request(Verb.VERSION),
    Request(Verb.STATS),
    Request(Verb.CONFIGURATION, b"cluster"),
    Request(Verb.GAT, KEY, ttl=60),
    Request(Verb.TOUCH, KEY, ttl=60),
)


def meta(data: bytes) -> None:
    """Bytes in the text protocol."""
    _any_bytes(Meta(), data)


def binary(data: bytes) -> None:
    """Bytes in the binary protocol."""
    _any_bytes(Binary(), data)


def _any_bytes(codec: Codec, data: bytes) -> None:
    """The same replies however they arrive; and each fits what was asked, or there is none."""
    source = Source(data)
    cuts = [source.number(2) for _ in range(source.number() % 4)]
    asked = [source.choice(REQUESTS) for _ in range(source.number() % 16)]
    stream = source.rest()
    at_once = parsed(codec.parser(), [stream])
    assert parsed(codec.parser(), portions(stream, cuts)) == at_once
    single = (stream[place : place + 1] for place in range(len(stream)))
    assert parsed(codec.parser(), single) == at_once
    conversation = Conversation(codec)
    for request in asked:
        conversation.ask(request, now=0)
    heard: list[Reply] = []
    with suppress(Malformed):
        heard += conversation.hear(stream)
    assert len(heard) <= len(asked)
    for number, (request, reply) in enumerate(zip(asked, heard, strict=False)):
        opaque = (codec.first_number + number) & 0xFFFFFFFF
        assert fits(request, opaque, reply, codec.numbered)
        if reply.outcome is Outcome.OK and request.verb in VALUED:
            # A server without Auto Discovery has no configuration: "END" alone.
            none = request.verb is Verb.CONFIGURATION and reply.stats == {}
            assert none or reply.value is not None


class _Server:
    """Answers with whatever the fuzzer says, as long as a conversation would accept it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def execute(self, command: Command[Any]) -> Any:
        """As the transports do it, for a request of a flow."""
        reply = self._reply(command.request)
        if reply.outcome in ERRORS:
            raise from_reply(reply, "node").error
        return reply

    def greet(self, command: Command[Any]) -> Reply:
        """As the transports do it in a greeting, which looks at errors by itself."""
        return self._reply(command.request)

    def _reply(self, request: Request) -> Reply:
        source = self._source
        if not source:
            raise StoreError("nothing more")
        outcome, opaque = source.choice(tuple(Outcome)), 7
        good = outcome is Outcome.OK
        reply = Reply(
            outcome,
            source.bytes() if good and request.verb in VALUED else None,
            source.number(2),
            opaque,
            stats=self._stats() if good and request.verb is Verb.STATS else None,
        )
        if not fits(request, opaque, reply, frozenset()):
            raise StoreError("the conversation would have ended")
        return reply

    def _stats(self) -> dict[str, str]:
        return dict(self._source.list(self._stat, 12))

    def _stat(self) -> tuple[str, str]:
        name = self._source.choice(_STATS) or self._source.bytes().decode("latin-1")
        return name, self._source.choice(_SAID) or self._source.bytes().decode("latin-1")


_STATS: Final = (
    "",
    *("item_size_max", "cas_enabled", "evictions", "limit_maxbytes", "uptime"),
    *("auth_enabled_sasl", "auth_enabled_ascii", "flush_enabled", "rejected_connections"),
    *("1:chunk_size", "1:used_chunks", "2:chunk_size", "2:used_chunks"),
)
_SAID: Final = (
    "",
    "0",
    "1",
    "on",
    "off",
    "yes",
    "no",
    "1048576",
    "67108864",
    "18446744073709551615",
)


def flows(data: bytes) -> None:
    """The verbs, the log-in and the doctor's questions: a result, or a typed error."""
    source = Source(data)
    server = _Server(source)
    which = source.number() % 8
    with suppress(StoreError, Failure):
        if which < 5:
            flow: Any = (
                commands.load(KEY),
                commands.create(KEY, b"value", 60),
                commands.replace(KEY, b"value", 60, source.number()),
                commands.delete(KEY, source.number() or None),
                commands.server(),
            )[which]
            run(flow, server.execute)
        elif which < 7:
            protocol = ("binary", "meta")[which - 5]
            credential = source.choice((None, Credential("user", "password")))
            greeting = Greeting(protocol, credential, optional=source.flag(), node="node")
            assert run(greeting.flow(), server.greet) >= 0
        else:
            link = source.choice((Link("unix"), Link("tcp", "host"), Link("tls", "host")))
            facts = run(examine(KEY, b"probe", link, logged_in=source.flag()), server.execute)
            for finding in diagnose(facts):
                assert finding.as_json()


# -- seeds; those from a real server come beside them: see capture.py --


def meta_seeds() -> Iterator[bytes]:
    """Replies of each kind."""
    for place in range(len(REQUESTS)):
        yield b"\0\1%c" % place + b"VA 1 c1 O1\r\nx\r\n"
        yield b"\1\0\5\1%c" % place + b"HD c1 O1\r\n"
    yield b"\0\2\0\0EN O1\r\nVA 3 c2 O2\r\nabc\r\n"
    yield b"\0\1\7STAT a b\r\nSTAT c d e\r\nEND\r\n"
    yield b"\0\1\6VERSION 1.6.18\r\n"
    yield b"\0\1\x08CONFIG cluster 0 15\r\n1\nh|10.0.0.1|1\n\r\nEND\r\n"
    for line in (b"ERROR", b"CLIENT_ERROR x", b"SERVER_ERROR out of memory storing object"):
        yield b"\2\0\1\0\5\1\0" + line + b"\r\n"
    yield b"\0\0ERROR Too many open connections\r\n"


def binary_seeds() -> Iterator[bytes]:
    """Packets of each kind."""
    first = Binary.first_number

    def packet(
        opcode: int, status: int, extras: bytes = b"", key: bytes = b"", value: bytes = b""
    ) -> bytes:
        size = len(extras) + len(key) + len(value)
        head = HEADER.pack(0x81, opcode, len(key), len(extras), 0, status, size, first, 9)
        return head + extras + key + value

    for place, opcode in enumerate((0, 2, 3, 4, 4, 10, 11, 16, 0x60)):
        yield b"\0\1%c" % place + packet(opcode, 0, bytes(4) if opcode == 0 else b"", value=b"v")
        yield b"\1\0\\9\1%c" % place + packet(opcode, 1, value=b"Not found")
    yield b"\0\1\7" + packet(16, 0, key=b"name", value=b"1") + packet(16, 0)
    yield b"\0\0ERROR Too many open connections\r\n"


def flow_seeds() -> Iterator[bytes]:
    """One for each flow, and a server that tells everything."""
    for which in range(8):
        yield bytes((which, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1))
    stats = b"".join(bytes((name, 7)) for name in range(1, len(_STATS)))
    told = b"\0\0\1\x0c" + stats[:24]
    yield b"\x07\0\0" + b"\0\5value\0\1" + b"\0\x061.6.18\0\1" + told * 3
    huge = b"\1\0\xfd\0\x039"  # an item_size_max of 8192 digits
    yield b"\x06\0\0" + b"\1\0\1" + b"\0\0\1\1" + huge
