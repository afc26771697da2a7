"""How evenly sessions, and what is asked of them, lie on the shards of a cluster or ring.

Redis Cluster: a key's slot is that which the store computes, and slots lie on shards as
``redis-cli --cluster create`` lays them. Memcached: the store's own ring.
"""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import log

from redis.crc import key_slot

from benchmarks.scale.chance import multinomial
from sessionstore.core.token import HANDLE_BYTES
from sessionstore.stores.base import DEFAULT_PREFIX
from sessionstore.stores.memcached.ring import UNWRITTEN_PORT, Member, Ring, ketama_label
from sessionstore.stores.redis.cluster import SLOTS

HEAD = 4000
"""So many of the most active sessions are placed one by one."""
BAND = 4
"""The others are placed in bands of ranks, each ending at so many times the rank at which it
begins; within a band all are as active as its mean."""
POSITIONS = 2**32
"""On Memcached's ring."""
_PREFIX = f"{DEFAULT_PREFIX}:s:".encode()


def keys(rng: random.Random, count: int) -> Iterator[bytes]:
    """Of new sessions: the prefix, and 96 random bits in base64url, as the store writes them."""
    text = base64.urlsafe_b64encode(rng.randbytes(HANDLE_BYTES * count))
    size = HANDLE_BYTES * 4 // 3
    return (_PREFIX + text[at : at + size] for at in range(0, len(text), size))


def slots_of_shards(shards: int) -> list[int]:
    """How many slots each shard has: 16384 do not divide evenly.

    >>> slots_of_shards(3)
    [5461, 5462, 5461]
    """
    ends = [round(SLOTS * (shard + 1) / shards) for shard in range(shards)]
    return [end - begin for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def placed_one_by_one(rng: random.Random, count: int, shards: int) -> list[int]:
    """Sessions on each shard, each by its own key's slot."""
    slots = Counter(map(key_slot, keys(rng, count)))
    found, first = [], 0
    for size in slots_of_shards(shards):
        found.append(sum(slots[slot] for slot in range(first, first + size)))
        first += size
    return found


def placed(rng: random.Random, count: int, shards: int) -> list[int]:
    """The same for any number of sessions, by one multinomial draw."""
    return multinomial(rng, count, slots_of_shards(shards))


@dataclass(frozen=True)
class Load:
    """What is asked of the shards where some sessions are more active than others.

    :param shares: of all commands, of each shard
    :param hottest: the share of the most active session
    """

    shares: list[float]
    hottest: float

    @property
    def skew(self) -> float:
        """The busiest shard's share, in means."""
        return skew(self.shares)


def skew(amounts: Sequence[float]) -> float:
    """The largest, in means.

    >>> skew([1, 2, 3])
    1.5
    """
    return max(amounts) * len(amounts) / sum(amounts)


def zipf(rng: random.Random, sessions: int, shards: int, exponent: float) -> Load:
    """Commands by a Zipf law: the session of rank r is asked in proportion to r ** -exponent."""
    amounts = [0.0] * shards
    heaviest = min(HEAD, sessions)
    owner = _owners(shards)
    for rank, key in enumerate(keys(rng, heaviest), 1):
        amounts[owner[key_slot(key)]] += rank**-exponent
    begin = heaviest
    while begin < sessions:
        end = min(sessions, int(begin * BAND) + 1)
        each = _sum(begin, end, exponent) / (end - begin)
        for shard, count in enumerate(placed(rng, end - begin, shards)):
            amounts[shard] += count * each
        begin = end
    total = sum(amounts)
    return Load([amount / total for amount in amounts], 1 / total)


def _sum(begin: int, end: int, exponent: float) -> float:
    """Of rank ** -exponent over the ranks after `begin` up to `end`, by the midpoint rule."""
    low, high = begin + 0.5, end + 0.5
    if exponent == 1:
        return log(high / low)
    power = 1 - exponent
    return float((high**power - low**power) / power)


def _owners(shards: int) -> list[int]:
    return [shard for shard, size in enumerate(slots_of_shards(shards)) for _ in range(size)]


def ring_of(servers: int) -> Ring[int]:
    """Memcached servers with addresses of their own, one after the other."""
    hosts = (f"10.0.{number >> 8}.{number & 255}" for number in range(servers))
    return Ring([Member(n, ketama_label(host, UNWRITTEN_PORT)) for n, host in enumerate(hosts)])


def ring_shares(ring: Ring[int]) -> list[float]:
    """What part of all keys each server has, exactly: its arcs of the ring."""
    points, owners = ring._points, ring._owners
    arcs = dict.fromkeys((member.node for member in ring.members), 0)
    for (before, after), owner in zip(pairwise(points), owners[1:], strict=False):
        arcs[owner] += after - before
    arcs[owners[0]] += points[0] + POSITIONS - points[-1]
    return [arc / POSITIONS for arc in arcs.values()]


@cache
def fullest_on_the_ring(servers: int) -> float:
    """The fullest server, in the mean of all."""
    return skew(ring_shares(ring_of(servers)))


def on_the_ring(rng: random.Random, ring: Ring[int], count: int) -> list[int]:
    """Sessions on each server, each by its own key."""
    found = Counter(map(ring.owner, keys(rng, count)))
    return [found[member.node] for member in ring.members]
