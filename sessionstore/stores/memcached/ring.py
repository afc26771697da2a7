"""Which of several servers a key is on: ketama consistent hashing, as libmemcached places keys.

Every node has points on a ring of 2**32, in proportion to its weight; a key belongs to the node
of the first point at or after the key's own. Where all weights are equal, a node that comes or
goes moves its own share of the keys and nothing else. Where they are not, it changes how many
points the others have, and moves some keys between them: 7 % as a weight of 3 joins three of 1.

The placement is libmemcached's "weighted ketama" (``update_continuum`` in its ``hosts.cc`` and
``dispatch_host`` in its ``hash.cc``): pylibmc with ``ketama_weighted``, PHP's Memcached with
``OPT_LIBKETAMA_COMPATIBLE``, and, but for a few weights that it rounds otherwise, uhashring's
``hash_fn="ketama"``, which pymemcache can be given. Others that are called ketama place otherwise:
libmemcached's unweighted one (100 points, another hash) and spymemcached's, which is that of AWS's
client for Java (labels ``host/address:port``).
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sessionstore.core.errors import ConfigurationError

N = TypeVar("N", bound=Hashable)

HASHES: Final = 40
"""How many MD5 sums the points of a node of average weight come from: libmemcached's
``MEMCACHED_POINTS_PER_SERVER_KETAMA`` (160) by the four points in each."""
MOST_ORDERS: Final = 4096
"""How many walks are remembered: all that there are with 25 nodes; and one takes microseconds."""
UNWRITTEN_PORT: Final = 11211
"""The port that a label leaves out."""


def ketama_label(host: str, port: int) -> str:
    """What a server's points are computed from, as libmemcached writes it.

    :param host: as it is written in the clients' lists of servers: a name and its address are
        two labels. An IPv6 address is without its brackets. For a Unix socket its path
    :param port: 0 for a Unix socket

    >>> ketama_label("10.0.0.1", 11211), ketama_label("::1", 11212), ketama_label("/run/m.sock", 0)
    ('10.0.0.1', '::1:11212', '/run/m.sock:0')
    """
    return host if port == UNWRITTEN_PORT else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Member(Generic[N]):
    """A node and its place on the ring.

    :param node: whatever stands for a server
    :param label: see :func:`ketama_label`; the placement depends on it alone
    :param weight: its share in proportion to the others', 1 or more
    """

    node: N
    label: str
    weight: int = 1


class Ring(Generic[N]):
    """Finds the node of a key. It never changes, so threads may share it.

    :param members: their order means nothing, but where two nodes have the same point: there
        the earlier one has it (a chance of about 1 in 10,000 for five nodes)
    :raises ConfigurationError: there is none; a label is there twice; a weight is not a whole
        number from 1 to 2**32 - 1, or so small beside the others that the node would own nothing
    """

    __slots__ = ("_orders", "_owners", "_points", "members")

    def __init__(self, members: Sequence[Member[N]]) -> None:
        self.members = tuple(members)
        _check(self.members)
        total = sum(member.weight for member in self.members)
        points: list[tuple[int, int]] = []
        for index, member in enumerate(self.members):
            hashes = _hashes(member.weight, total, len(self.members))
            if not hashes:
                raise ConfigurationError(
                    f"weight {member.weight} of {member.label} is too small beside a total of "
                    f"{total}: it would own no keys"
                )
            points += ((point, index) for point in _points(member.label, hashes))
        points.sort()
        nodes = [member.node for member in self.members]
        self._points = [point for point, _ in points]
        self._owners = [nodes[index] for _, index in points]
        self._owners.append(self._owners[0])  # past the last point, the ring begins again
        self._orders: dict[int, tuple[N, ...]] = {}

    def owner(self, key: bytes) -> N:
        """The node that ``key`` is on."""
        return self._owners[bisect_left(self._points, _position(key))]

    def walk(self, key: bytes) -> tuple[N, ...]:
        """Every node once: the owner, then whose point comes next, and so on.

        The second is the owner as it would be without the first, where all weights are equal.
        """
        start = bisect_left(self._points, _position(key))
        order = self._orders.get(start)
        if order is None:
            if len(self._orders) >= MOST_ORDERS:
                self._orders.clear()
            order = self._orders[start] = self._order(start)
        return order

    def _order(self, start: int) -> tuple[N, ...]:
        seen: dict[N, None] = {}
        for index in (*range(start, len(self._points)), *range(start)):
            seen[self._owners[index]] = None
            if len(seen) == len(self.members):
                break
        return tuple(seen)


def _position(key: bytes) -> int:
    return int.from_bytes(hashlib.md5(key, usedforsecurity=False).digest()[:4], "little")


def _points(label: str, hashes: int) -> Iterator[int]:
    for number in range(hashes):
        digest = hashlib.md5(f"{label}-{number}".encode(), usedforsecurity=False).digest()
        yield from struct.unpack("<4I", digest)


def _hashes(weight: int, total: int, count: int) -> int:
    """How many MD5 sums a node's points come from.

    ``40 * count * weight / total``, rounded down; but libmemcached computes it in C's ``float``,
    step by step, and what that loses is part of the placement.
    """
    share = _float(_float(weight) / _float(total))
    return int(_float(_float(share * (4 * HASHES)) / 4 * count))


def _float(number: float) -> float:
    """Rounded to C's ``float``, 24 bits."""
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded


def _check(members: Sequence[Member[N]]) -> None:
    if not members:
        raise ConfigurationError("a ring needs at least one server")
    labels: set[str] = set()
    for member in members:
        if member.label in labels:
            raise ConfigurationError(f"server {member.label} is named twice")
        labels.add(member.label)
        if type(member.weight) is not int or not 0 < member.weight < 1 << 32:
            raise ConfigurationError(
                f"weight {member.weight!r} of {member.label}: give a whole number, 1 or more"
            )
