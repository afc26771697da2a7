"""What is stored where each session is on two servers (``copies=2``). No I/O.

An item is ``kind, term, number, where the copy is, when it ends, record``.
"""

from __future__ import annotations

import enum
import struct
import zlib
from math import ceil
from typing import Final, NamedTuple

from sessionstore.stores.base import Entry
from sessionstore.stores.memcached.places import Places
from sessionstore.stores.memcached.spread import Placed
from sessionstore.stores.memcached.topology import Node

_HEADER: Final = struct.Struct("!cIIII")
_MOST: Final = 0xFFFFFFFF


class Kind(enum.Enum):
    """What an item is to its session."""

    HOME = b"H"
    COPY = b"C"
    GONE = b"G"


class Item(NamedTuple):
    """What is stored on one server.

    :param term: how often a copy has become the home; a number counts within its term. Its upper
        half is the key's generation: how often the key was used again after a tombstone
    :param number: of the session's write that this is
    :param copy: a home's: the mark of the server that the copy is on; 0: there is none
    :param ends: seconds since 1970
    :param cas: the item's CAS number; 0: it is not stored yet
    """

    kind: Kind
    term: int
    number: int
    copy: int
    ends: int
    record: bytes
    cas: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        """Of two, the greater one is newer."""
        return self.term, self.number

    @property
    def next_term(self) -> int:
        """Of the home that its copy becomes."""
        return min(self.term + 1, _MOST)

    @property
    def generation(self) -> int:
        """What a tombstone ends: the items of its own generation, and of those before."""
        return self.term >> 16

    @property
    def next_generation(self) -> int:
        """The first term of a session that is made where this is a tombstone."""
        return min(self.generation + 1 << 16, _MOST)

    @property
    def next_number(self) -> int:
        """Of the next write. Full is only what somebody stored who can write to the server."""
        return min(self.number + 1, _MOST)

    def pack(self) -> bytes:
        """Its bytes."""
        head = _HEADER.pack(self.kind.value, self.term, self.number, self.copy, self.ends)
        return head + self.record

    def copied(self) -> bytes:
        """The bytes of its copy."""
        return self._replace(kind=Kind.COPY).pack()

    def buried(self) -> bytes:
        """The bytes of its tombstone, which tells where the copy was."""
        return self._replace(kind=Kind.GONE, record=b"").pack()

    def follows(self, other: Item) -> bool:
        """Whether it is of the same write, or of one that was built on that."""
        return self.term == other.term and self.number >= other.number

    @classmethod
    def unpack(cls, entry: Entry) -> Item:
        """From its bytes. A record that was stored without ``copies=2`` is a home by itself."""
        value, cas = entry.value, int(entry.version)
        if len(value) < _HEADER.size or value[:1] not in _KINDS:
            return cls(Kind.HOME, 0, 0, 0, 0, value, cas)
        kind, term, number, copy, ends = _HEADER.unpack_from(value)
        return cls(Kind(kind), term, number, copy, ends, value[_HEADER.size :], cas)


_KINDS: Final = frozenset(kind.value for kind in Kind)
"""None of these is the first byte of a record, which is its format."""


class Held(Placed):
    """A version: the home's CAS number, its server, and what else the next write must know."""

    item: Item

    @classmethod
    def at(cls, node: Node, item: Item) -> Held:
        """Of an item that is stored there."""
        held = cls(item.cas)
        held.node, held.item = node, item
        return held


def mark(node: Node | None) -> int:
    """A server's number in a home's item; 0: none."""
    return 0 if node is None else zlib.crc32(node.endpoint.label.encode()) or 1


def marked(number: int, places: Places) -> Node | None:
    """The server with this mark; None: it is lost."""
    return next((node for node in places.all if mark(node) == number), None)


def beside(home: Node, places: Places) -> Node | None:
    """Where the copy of a session with this home is made."""
    return next((node for node in places.make if node is not home), None)


def ends(places: Places, ttl: float) -> int:
    """When an item ends that is stored now."""
    return min(ceil(places.now + ttl), _MOST)
