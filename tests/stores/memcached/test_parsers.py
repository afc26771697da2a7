"""Both parsers: any split of the bytes gives the same replies, and any bytes a typed error."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionstore.stores.memcached.binary import HEADER, Binary
from sessionstore.stores.memcached.conversation import Conversation
from sessionstore.stores.memcached.messages import (
    Codec,
    Malformed,
    Outcome,
    Reply,
    Request,
    Verb,
)
from sessionstore.stores.memcached.meta import LONGEST_LINE, Meta
from tests.support.portions import parsed, portions

CODECS: dict[str, Codec] = {"meta": Meta(), "binary": Binary()}
Whole = tuple[bytes, Reply]

# -- whole replies, with their bytes --

numbers = st.integers(0, 2**64 - 1)
opaques = st.integers(0, 2**32 - 1)
values = st.one_of(
    st.binary(max_size=80),
    st.sampled_from([b"\r\n", b"END\r\n", b"VA 3\r\nabc\r\n", b"\x81" * 30, b"EN O1\r\n"]),
)
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
statistics = st.dictionaries(words, words, max_size=5)


def meta_value(value: bytes, cas: int, opaque: int) -> Whole:
    line = b"VA %d c%d O%d\r\n" % (len(value), cas, opaque)
    return line + value + b"\r\n", Reply(Outcome.OK, value, cas, opaque)


def meta_status(status: tuple[bytes, Outcome], cas: int, opaque: int) -> Whole:
    return b"%b c%d O%d\r\n" % (status[0], cas, opaque), Reply(status[1], None, cas, opaque)


def meta_stats(stats: dict[str, str]) -> Whole:
    lines = "".join(f"STAT {name} {value}\r\n" for name, value in stats.items())
    return f"{lines}END\r\n".encode(), Reply(Outcome.OK, stats=stats)


def meta_configuration(value: bytes) -> Whole:
    data = b"CONFIG cluster 0 %d\r\n%b\r\nEND\r\n" % (len(value), value)
    return data, Reply(Outcome.OK, value, verb=Verb.CONFIGURATION)


META_STATUSES = [
    (b"HD", Outcome.OK),
    (b"EN", Outcome.MISSING),
    (b"NF", Outcome.MISSING),
    (b"EX", Outcome.EXISTS),
    (b"NS", Outcome.NOT_STORED),
]
META_LINES = [
    (b"HD\r\n", Reply(Outcome.OK)),
    (b"EN\r\n", Reply(Outcome.MISSING)),
    (b"HD W X O1\r\n", Reply(Outcome.OK, opaque=1)),
    (b"MN\r\n", Reply(Outcome.OK)),
    (b"STORED\r\n", Reply(Outcome.OK)),
    (b"VERSION 1.6.18\r\n", Reply(Outcome.OK, b"1.6.18")),
    (b"CONFIG cluster 0 0\r\n\r\nEND\r\n", Reply(Outcome.OK, b"", verb=Verb.CONFIGURATION)),
    (b"ERROR\r\n", Reply(Outcome.UNKNOWN)),
    (b"ERROR Too many open connections\r\n", Reply(Outcome.CROWDED)),
    (b"CLIENT_ERROR bad command line format\r\n", Reply(Outcome.INVALID)),
    (b"CLIENT_ERROR unauthenticated\r\n", Reply(Outcome.UNAUTHENTICATED)),
    (b"CLIENT_ERROR authentication failure\r\n", Reply(Outcome.UNAUTHENTICATED)),
    (b"CLIENT_ERROR bad authentication token format\r\n", Reply(Outcome.UNAUTHENTICATED)),
    (b"SERVER_ERROR out of memory storing object\r\n", Reply(Outcome.FULL)),
    (b"SERVER_ERROR out of memory writing get response\r\n", Reply(Outcome.FAILED)),
    (b"SERVER_ERROR object too large for cache\r\n", Reply(Outcome.TOO_LARGE)),
]
metas = st.one_of(
    st.builds(meta_value, values, numbers, opaques),
    st.builds(meta_status, st.sampled_from(META_STATUSES), numbers, opaques),
    st.builds(meta_stats, statistics),
    st.builds(meta_configuration, values),
    st.sampled_from(META_LINES),
)


def packet(
    opcode: int, status: int, opaque: int, cas: int, extras: bytes, key: bytes, value: bytes
) -> bytes:
    size = len(extras) + len(key) + len(value)
    head = HEADER.pack(0x81, opcode, len(key), len(extras), 0, status, size, opaque, cas)
    return head + extras + key + value


VALUED = [(0x00, Verb.GET), (0x1D, Verb.GAT), (0x60, Verb.CONFIGURATION)]


def binary_value(
    value: bytes, cas: int, opaque: int, key: bytes, verb: tuple[int, Verb] = VALUED[0]
) -> Whole:
    data = packet(verb[0], 0, opaque, cas, bytes(4), key, value)
    return data, Reply(Outcome.OK, value, cas, opaque, verb[1])


def binary_status(
    status: tuple[int, Outcome], verb: tuple[int, Verb], cas: int, opaque: int, text: bytes
) -> Whole:
    reply = Reply(status[1], None, cas, opaque, verb[1])
    return packet(verb[0], status[0], opaque, cas, b"", b"", text), reply


def binary_stats(stats: dict[str, str], opaque: int) -> Whole:
    pairs = [*stats.items(), ("", "")]
    data = [packet(16, 0, opaque, 0, b"", key.encode(), value.encode()) for key, value in pairs]
    return b"".join(data), Reply(Outcome.OK, None, 0, opaque, Verb.STATS, stats)


BINARY_STATUSES = [
    (0, Outcome.OK),
    (1, Outcome.MISSING),
    (2, Outcome.EXISTS),
    (3, Outcome.TOO_LARGE),
    (4, Outcome.INVALID),
    (5, Outcome.NOT_STORED),
    (0x20, Outcome.UNAUTHENTICATED),
    (0x21, Outcome.CONTINUE),
    (0x81, Outcome.UNKNOWN),
    (0x82, Outcome.FULL),
    (0x85, Outcome.FAILED),
    (0xFFFF, Outcome.FAILED),
]
BINARY_VERBS = [
    (2, Verb.ADD),
    (3, Verb.REPLACE),
    (4, Verb.DELETE),
    (10, Verb.NOOP),
    (33, Verb.AUTH),
]
binaries = st.one_of(
    st.builds(
        binary_value,
        values,
        numbers,
        opaques,
        st.binary(max_size=5),
        st.sampled_from(VALUED),
    ),
    st.builds(
        binary_status,
        st.sampled_from(BINARY_STATUSES),
        st.sampled_from(BINARY_VERBS),
        numbers,
        opaques,
        values,
    ),
    st.builds(binary_stats, statistics, opaques),
    st.just((b"ERROR Too many open connections\r\n", Reply(Outcome.CROWDED))),
)


# -- feeding --

splits = st.lists(st.integers(0, 10_000), max_size=12)


def check_any_split(codec: Codec, wholes: list[Whole], cuts: list[int]) -> None:
    data = b"".join(data for data, _ in wholes)
    expected = ([reply for _, reply in wholes], False, False)
    assert parsed(codec.parser(), portions(data, cuts)) == expected
    assert parsed(codec.parser(), [data]) == expected
    assert parsed(codec.parser(), (data[n : n + 1] for n in range(len(data)))) == expected


@given(st.lists(metas, max_size=6), splits)
def test_any_split_gives_the_same_replies_meta(wholes: list[Whole], cuts: list[int]) -> None:
    check_any_split(Meta(), wholes, cuts)


@given(st.lists(binaries, max_size=6), splits)
def test_any_split_gives_the_same_replies_binary(wholes: list[Whole], cuts: list[int]) -> None:
    check_any_split(Binary(), wholes, cuts)


def check_any_bytes(codec: Codec, data: bytes, cuts: list[int]) -> None:
    """Whatever it is: replies, or Malformed, and the same however it arrives."""
    at_once = parsed(codec.parser(), [data])
    assert parsed(codec.parser(), portions(data, cuts)) == at_once
    assert parsed(codec.parser(), (data[n : n + 1] for n in range(len(data)))) == at_once


def spoiled(wholes: list[Whole], place: int, change: bytes, remove: int) -> bytes:
    data = b"".join(data for data, _ in wholes)
    place %= len(data) + 1
    return data[:place] + change + data[place + remove :]


changes = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [b"\r\n", b"\n", b" ", b"STAT ", b"VA 1073741825\r\n", b"c", b"\x81", b"END\r\n"]
    ),
)


@given(st.one_of(st.binary(max_size=200)), splits)
@example(b"VA 1 O1\r\nab\r\n", [])
@example(b"VA 99999999999999999999 O1\r\n", [])
@example(b"VA -1\r\n\r\n", [])
@example(b"STAT a b\r\nHD\r\n", [])
@example(b"H" * (LONGEST_LINE + 10), [LONGEST_LINE - 1])
@example(b"ERROR Too many open connections\r\nERROR", [3])
def test_any_bytes(data: bytes, cuts: list[int]) -> None:
    for codec in CODECS.values():
        check_any_bytes(codec, data, cuts)


@given(
    st.lists(metas, min_size=1, max_size=4),
    st.integers(0, 10_000),
    changes,
    st.integers(0, 3),
    splits,
)
def test_spoiled_replies_meta(
    wholes: list[Whole], place: int, change: bytes, remove: int, cuts: list[int]
) -> None:
    check_any_bytes(Meta(), spoiled(wholes, place, change, remove), cuts)


@given(
    st.lists(binaries, min_size=1, max_size=4),
    st.integers(0, 10_000),
    changes,
    st.integers(0, 3),
    splits,
)
def test_spoiled_replies_binary(
    wholes: list[Whole], place: int, change: bytes, remove: int, cuts: list[int]
) -> None:
    check_any_bytes(Binary(), spoiled(wholes, place, change, remove), cuts)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x01\x00\x02\x02",  # a TLS alert, without a line's end
        b"+OK\r\n",
        b"$-1\r\n",
        b"\x81",
        b"HD O01\r\n",
        b"HD O-1\r\n",
        b"HD O\r\n",
        b"HD c1x\r\n",
        b"HD  O1\r\n",
        b"HD O1 \r\n",
        b"HD O1\x00\r\n",
        b"HDX\r\n",
        b"VA\r\n",
        b"VA x O1\r\n",
        b"VA 1 O1\r\nab\r\n",
        b"VA 1073741825 O1\r\n",
        b"VERSION\r\n",
        b"CONFIG cluster 0 131073\r\n",
        b"CONFIG cluster 0\r\n",
        b"CONFIG cluster 0 -1\r\n",
        b"CONFIG cluster 0 01\r\n",
        b"CONFIG clusters 0 1\r\n",
        b"CONFIG cluster 0 1\r\nab\r\nEND\r\n",
        b"CONFIG cluster 0 1\r\na\r\nEND \r\n",
        b"STATISTICS a b\r\n",
        b"STAT\r\n",
        b"STAT a b\r\nEN O1\r\n",
        b"END x\r\n",
        b"S" * LONGEST_LINE,
    ],
)
def test_what_is_not_the_meta_protocol(data: bytes) -> None:
    assert parsed(Meta().parser(), [data])[1]


@pytest.mark.parametrize(
    "data",
    [
        b"ERROR\r\n",
        b"CLIENT_ERROR unauthenticated\r\n",
        b"\x80" + bytes(23),
        b"\x15\x03\x01\x00\x02\x02",
        HEADER.pack(0x81, 0, 0, 0, 1, 0, 0, 1, 0),  # another data type
        HEADER.pack(0x81, 0, 5, 4, 0, 0, 8, 1, 0),  # key and extras are longer than the body
        HEADER.pack(0x81, 0, 0, 0, 0, 0, 2**32 - 1, 1, 0),
        HEADER.pack(0x81, 0x07, 0, 0, 0, 0, 0, 1, 0),  # to QUIT, which nobody has said
        packet(16, 0, 1, 0, b"", b"a", b"b") + packet(0, 1, 1, 0, b"", b"", b""),
        packet(16, 0, 1, 0, b"", b"a", b"b") + packet(16, 0, 2, 0, b"", b"", b""),
        packet(16, 0, 1, 0, b"", b"", b"b"),
    ],
)
def test_what_is_not_the_binary_protocol(data: bytes) -> None:
    assert parsed(Binary().parser(), [data])[1]


def test_statistics_without_an_end() -> None:
    endless: dict[str, Callable[[int], bytes]] = {
        "meta": lambda n: b"STAT s%d 1\r\n" % n,
        "binary": lambda n: packet(16, 0, 1, 0, b"", b"s%d" % n, b"1"),
    }
    for name, line in endless.items():
        assert parsed(CODECS[name].parser(), (line(n) for n in range(10_001)))[1]


def test_a_large_value_byte_by_byte_costs_no_more_than_its_bytes() -> None:
    """Not one search through all of it for each portion."""
    body = bytes(200_000)
    for name, (data, reply) in {
        "meta": meta_value(body, 1, 1),
        "binary": binary_value(body, 1, 1, b""),
    }.items():
        parser = CODECS[name].parser()
        assert parsed(parser, (data[n : n + 1] for n in range(len(data)))) == (
            [reply],
            False,
            False,
        )


# -- replies and requests --

KEY = b"p:s:h"
FIRST = Binary.first_number
GET = Request(Verb.GET, KEY)
GAT = Request(Verb.GAT, KEY, ttl=60)
TOUCH = Request(Verb.TOUCH, KEY, ttl=60)
ADD = Request(Verb.ADD, KEY, b"v", 60)
REPLACE = Request(Verb.REPLACE, KEY, b"v", 60, 5)
DELETE = Request(Verb.DELETE, KEY)
DELETE_IF = Request(Verb.DELETE, KEY, cas=5)
CONFIGURATION = Request(Verb.CONFIGURATION, b"cluster")


def heard(codec: Codec, request: Request, data: bytes) -> list[Reply]:
    conversation = Conversation(codec)
    conversation.ask(request, now=0)
    return list(conversation.hear(data))


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        (GET, b"VA 1 c1 O1\r\nx\r\n"),
        (GET, b"EN O1\r\n"),
        (GET, b"SERVER_ERROR out of memory writing get response\r\n"),
        (GAT, b"VA 1 c1 O1\r\nx\r\n"),
        (GAT, b"EN O1\r\n"),
        (TOUCH, b"HD c1 O1\r\n"),
        (TOUCH, b"EN O1\r\n"),
        (ADD, b"HD c1 O1\r\n"),
        (ADD, b"NS c0 O1\r\n"),
        (REPLACE, b"HD c1 O1\r\n"),
        (REPLACE, b"EX c0 O1\r\n"),
        (REPLACE, b"NF c0 O1\r\n"),
        (DELETE, b"HD O1\r\n"),
        (DELETE, b"NF O1\r\n"),
        (DELETE_IF, b"EX O1\r\n"),
        (Request(Verb.HELLO), b"EN\r\n"),
        (Request(Verb.NOOP), b"MN\r\n"),
        (Request(Verb.STATS), b"END\r\n"),
        (CONFIGURATION, b"CONFIG cluster 0 1\r\nx\r\nEND\r\n"),
        (CONFIGURATION, b"END\r\n"),  # there is none
        (CONFIGURATION, b"ERROR\r\n"),
    ],
)
def test_replies_that_fit(request_: Request, data: bytes) -> None:
    assert len(heard(Meta(), request_, data)) == 1


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        (GET, b"VA 1 c1 O2\r\nx\r\n"),  # another's
        (GET, b"VA 1 c1\r\nx\r\n"),  # nobody's
        (GET, b"EN\r\n"),
        (GET, b"EN O2\r\n"),
        (GET, b"VA 1 c0 O1\r\nx\r\n"),  # no CAS number: nothing could be compared
        (GET, b"VA 1 O1\r\nx\r\n"),
        (GET, b"HD c1 O1\r\n"),
        (GET, b"EX O1\r\n"),
        (GET, b"END\r\n"),
        (GET, b"MN\r\n"),
        (GET, b"VERSION 1\r\n"),
        (GAT, b"HD c1 O1\r\n"),
        (GAT, b"VA 1 c0 O1\r\nx\r\n"),
        (TOUCH, b"VA 1 c1 O1\r\nx\r\n"),
        (TOUCH, b"HD c1\r\n"),
        (TOUCH, b"NS O1\r\n"),
        (ADD, b"VA 1 c1 O1\r\nx\r\n"),
        (ADD, b"NF O1\r\n"),
        (ADD, b"HD c0 O1\r\n"),
        (ADD, b"HD O1\r\n"),
        (ADD, b"STORED\r\n"),
        (REPLACE, b"HD O1\r\n"),
        (DELETE, b"EX O1\r\n"),  # nothing was compared
        (DELETE, b"NS O1\r\n"),
        (Request(Verb.NOOP), b"EN\r\n"),
        (Request(Verb.STATS), b"MN\r\n"),
        (Request(Verb.VERSION), b"MN\r\n"),
        (Request(Verb.HELLO), b"EN O7\r\n"),
        (Request(Verb.VERSION), b"CONFIG cluster 0 1\r\nx\r\nEND\r\n"),
        (GET, b"CONFIG cluster 0 1\r\nx\r\nEND\r\n"),
        (CONFIGURATION, b"STAT a b\r\nEND\r\n"),
        (CONFIGURATION, b"MN\r\n"),
    ],
)
def test_replies_that_do_not_fit(request_: Request, data: bytes) -> None:
    with pytest.raises(Malformed, match="does not belong"):
        heard(Meta(), request_, data)


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        (GET, binary_value(b"x", 1, FIRST + 1, b"")[0]),
        (GET, packet(0, 1, FIRST + 1, 0, b"", b"", b"Not found")),
        (
            GET,
            packet(0, 0x20, FIRST + 1, 0, b"", b"", b""),
        ),  # in this protocol, errors are numbered too
        (GET, binary_value(b"x", 0, FIRST, b"")[0]),
        (GET, packet(2, 0, FIRST, 1, b"", b"", b"")),
        (GET, binary_value(b"x", 1, FIRST, b"", VALUED[1])[0]),
        (GAT, binary_value(b"x", 1, FIRST, b"")[0]),
        (GAT, binary_value(b"x", 0, FIRST, b"", VALUED[1])[0]),
        (TOUCH, packet(0x1C, 2, FIRST, 0, b"", b"", b"")),
        (ADD, packet(0, 0, FIRST, 1, bytes(4), b"", b"x")),
        (ADD, packet(2, 1, FIRST, 0, b"", b"", b"")),
        (DELETE, packet(4, 2, FIRST, 0, b"", b"", b"")),
        (GET, packet(0, 0x21, FIRST, 0, b"", b"", b"")),
    ],
)
def test_packets_that_do_not_fit(request_: Request, data: bytes) -> None:
    with pytest.raises(Malformed, match="does not belong"):
        heard(Binary(), request_, data)


@pytest.mark.parametrize("name", CODECS)
def test_a_reply_to_nothing(name: str) -> None:
    data = {"meta": b"EN O1\r\n", "binary": packet(0, 1, 1, 0, b"", b"", b"")}[name]
    conversation = Conversation(CODECS[name])
    with pytest.raises(Malformed, match="more than the replies"):
        list(conversation.hear(data))


@pytest.mark.parametrize("name", CODECS)
def test_replies_before_a_bad_one_are_given_out(name: str) -> None:
    conversation = Conversation(CODECS[name])
    for _ in range(2):
        conversation.ask(GET, now=0)
    hit = {"meta": meta_value, "binary": lambda *parts: binary_value(*parts, b"")}[name]
    first = CODECS[name].first_number
    replies = conversation.hear(hit(b"x", 1, first)[0] + hit(b"y", 1, first + 7)[0])
    assert next(replies).value == b"x"
    with pytest.raises(Malformed):
        next(replies)


def test_numbers_go_round() -> None:
    conversation = Conversation(Meta())
    conversation._number = 2**32 - 1
    asked = [conversation.ask(GET, now=0) for _ in range(2)]
    assert asked == [b"mg p:s:h c v O4294967295\r\n", b"mg p:s:h c v O0\r\n"]
    assert len(list(conversation.hear(b"EN O4294967295\r\nEN O0\r\n"))) == 2
    assert conversation.is_over()


def test_no_value_is_shown() -> None:
    assert "secret" not in repr(Request(Verb.ADD, KEY, b"secret", 60))
    assert "secret" not in repr(Reply(Outcome.OK, b"secret"))
