"""The fuzzer's bytes, read as choices, numbers and texts.

Instead of ``atheris.FuzzedDataProvider``, so that the corpus means the same where atheris is not
installed: the replay in ``make test`` reads it by this class, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

LONGEST_TEXT = 1 << 13
"""Bytes: as much as the longest line of Memcached's that we read."""


class Source:
    """Takes from the front; where the bytes end, everything is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def __bool__(self) -> bool:
        return self._place < len(self._data)

    def take(self, size: int) -> bytes:
        """So many bytes, or those that are left."""
        begin, self._place = self._place, min(self._place + size, len(self._data))
        return self._data[begin : self._place]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))

    def number(self, size: int = 1) -> int:
        """An unsigned number of so many bytes."""
        return int.from_bytes(self.take(size), "big")

    def flag(self) -> bool:
        """One or the other."""
        return self.number() % 2 == 1

    def choice(self, options: Sequence[T]) -> T:
        """One of these; the first, where the bytes have ended."""
        return options[self.number() % len(options)]

    def list(self, make: Callable[[], T], most: int) -> list[T]:
        """Some of these."""
        return [make() for _ in range(self.number() % (most + 1)) if self]

    def bytes(self) -> bytes:
        """A few bytes; or, from a few, many of the same."""
        size = self.number()
        if size < 0xF0:
            return self.take(size % 32)
        piece = self.take(1 + self.number() % 4) or b"0"
        return (piece * (1 << (size & 15)))[:LONGEST_TEXT]

    def text(self) -> str:
        """The same as text, in which bytes that are not UTF-8 are lone surrogates."""
        return self.bytes().decode("utf-8", "surrogateescape")
