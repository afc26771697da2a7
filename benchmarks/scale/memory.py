"""What a stored session takes of a server's memory. Pure arithmetic, checked against real servers.

Sizes are bytes. A value is the record as the store holds it; its key is 26 bytes with the default
prefix.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from sessionstore.core.token import HANDLE_BYTES, handle_text
from sessionstore.stores.base import DEFAULT_PREFIX

KEY_BYTES: Final = len(f"{DEFAULT_PREFIX}:s:{handle_text(bytes(HANDLE_BYTES))}")
COPY_HEADER: Final = 17
"""Before the record, where each session is on two Memcached servers (``copies=2``)."""

_REDIS_FIXED: Final = 72
"""An object's head (16), its key (26 and 2 of a string's head, rounded up to 32) and the entry of
the table of keys (24), as ``MEMORY USAGE`` of Redis 7.0 counts them."""

_ITEM_HEAD: Final = 48 + 8
"""Memcached 1.6: an item's head and its CAS number. A byte ends the key, two end the value."""
_FIRST_CHUNK: Final = 96
_ALIGNMENT: Final = 8
_LARGEST_CHUNK: Final = 512 * 1024
PAGE: Final = 1024 * 1024
GROWTH: Final = 1.25
"""Memcached's ``-f``: from one slab class to the next."""


def jemalloc(size: int) -> int:
    """What jemalloc, which Redis is built with, gives to who asks for so much.

    Steps of 16 bytes to 128, then four classes for each power of two (jemalloc(3), "Size classes").

    >>> jemalloc(100), jemalloc(129), jemalloc(604), jemalloc(4103)
    (112, 160, 640, 5120)
    """
    if size <= 128:
        return -(-size // 16) * 16
    step = 1 << ((size - 1).bit_length() - 3)
    return -(-size // step) * step


def redis_usage(value: int) -> int:
    """``MEMORY USAGE`` of a session in Redis 7.0, whose value has so many bytes.

    >>> redis_usage(598)
    712
    """
    head = 3 if value < 256 else 5  # of a string: its length takes one byte, or two
    return _REDIS_FIXED + jemalloc(value + head + 1)


def memcached_item(value: int, key: int = KEY_BYTES) -> int:
    """The bytes of one item, before it is rounded up to a chunk.

    >>> memcached_item(598)
    683
    """
    return _ITEM_HEAD + key + 1 + value + 2


def slab_classes(growth: float = GROWTH) -> list[int]:
    """The chunk sizes of Memcached 1.6 on 64 bits.

    :param growth: ``-f``

    >>> slab_classes()[:10]
    [96, 120, 152, 192, 240, 304, 384, 480, 600, 752]
    """
    sizes, size = [], float(_FIRST_CHUNK)
    while size < _LARGEST_CHUNK / growth:
        aligned = -(-int(size) // _ALIGNMENT) * _ALIGNMENT
        sizes.append(aligned)
        size = aligned * growth
    return [*sizes, _LARGEST_CHUNK]


def memcached_memory(value: int, growth: float = GROWTH) -> float:
    """Bytes of slab memory for each session: its chunk, and its share in what a page has left over.

    :raises ValueError: over half a megabyte it is put together from several chunks

    >>> round(memcached_memory(598), 1)
    752.2
    """
    classes = slab_classes(growth)
    place = bisect_left(classes, memcached_item(value))
    if place == len(classes):
        raise ValueError(f"{value} bytes do not fit into one chunk")
    return PAGE / (PAGE // classes[place])
