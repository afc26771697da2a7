"""Bytes that arrive in any portions, and what a parser of Memcached's makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from sessionstore.stores.memcached.messages import Malformed, Parser, Reply


def portions(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """The bytes, cut at these places (and at whatever remains of dividing by the length)."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return (data[begin:end] for begin, end in pairwise(places))


def parsed(parser: Parser, data: Iterable[bytes]) -> tuple[list[Reply], bool, bool]:
    """The replies; whether it ended in Malformed; whether anything is left over."""
    replies: list[Reply] = []
    try:
        for portion in data:
            parser.feed(portion)
            while (reply := parser.next()) is not None:
                replies.append(reply)
    except Malformed:
        return replies, True, False
    return replies, False, parser.has_data()
