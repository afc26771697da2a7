"""What is lost with a server, how long its share is away, and who takes it over."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Final

from benchmarks.scale.balance import keys, on_the_ring, ring_of
from benchmarks.scale.plan import Demand, Plan
from sessionstore.stores.attempts import ATTEMPT_SHARE
from sessionstore.stores.base import DEFAULT_TIMEOUT
from sessionstore.stores.memcached.membership import PACE
from sessionstore.stores.memcached.store import DEFAULT_FAILOVER_AFTER
from sessionstore.stores.redis.durability import LATENESS

ELECTION: Final = 1.6
"""Seconds from when a primary is given up until its replica serves, and clients know: the drill's
worst 3.6 s (``docs/redis.md``) less its cluster-node-timeout of 2 s."""

LONGEST_WAIT: Final = DEFAULT_TIMEOUT * ATTEMPT_SHARE - LATENESS
"""Seconds for which a durable write can wait for a replica, by the default ``timeout``."""

KEYS: Final = 20_000
"""That are placed on the ring to see who has how much."""


def redis_away(plan: Plan) -> float:
    """Seconds for which a lost primary's share of the sessions gets 503."""
    return plan.detection + ELECTION


def memcached_away() -> float:
    """The same with ``failover=next``, by the rules of its notes: silence, and then until everybody
    has read the note."""
    return DEFAULT_FAILOVER_AFTER + PACE.settle


@dataclass(frozen=True)
class AtRisk:
    """Acknowledged writes that a replica does not have yet as its primary dies.

    :param logins: logins and logouts
    :param saves: other writes: what requests changed, touches, new sessions
    """

    logins: float
    saves: float


def at_risk(demand: Demand, shards: int, lag: float, durable: str) -> AtRisk:
    """Of one primary of a cluster.

    :param lag: seconds that the replica is behind
    :param durable: as the store's option; what waits for a replica is not at risk, if the replica
        is not further behind than a write can wait
    """
    # A login is two writes: the session's creation, which never waits, and its rotation.
    logins = (demand.logins + demand.logouts) / shards * lag
    saves = (demand.writes + demand.touches + demand.logins) / shards * lag
    if lag > LONGEST_WAIT:
        return AtRisk(logins, saves)
    if durable == "all":
        return AtRisk(0, 0)
    return AtRisk(0 if durable == "1" else logins, saves)


@dataclass(frozen=True)
class RingLoss:
    """The busiest of several Memcached servers is lost.

    :param largest: its share of the sessions
    :param skew: the same, in means
    :param next_most: of the servers that are left, the most that one's load grows by: a share of
        what it had
    """

    largest: float
    skew: float
    next_most: float


def ring_loss(servers: int, seed: int) -> RingLoss:
    """By the store's ring: each of the lost keys goes to the owner of the next point on it."""
    rng = random.Random(f"ring {seed}")
    ring = ring_of(servers)
    loads = on_the_ring(rng, ring, KEYS)
    lost = max(range(servers), key=loads.__getitem__)
    heirs: Counter[int] = Counter()
    for key in keys(rng, KEYS):
        if ring.owner(key) == lost:
            heirs[ring.walk(key)[1]] += 1
    grown = max(count / loads[server] for server, count in heirs.items())
    share = loads[lost] / KEYS
    return RingLoss(share, share * servers, grown)
