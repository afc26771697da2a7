"""All that the plan says of some numbers of sessions, computed once for tables and charts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from benchmarks.scale.losing import RingLoss, ring_loss
from benchmarks.scale.measured import Measured
from benchmarks.scale.plan import DAY, Demand, Plan
from benchmarks.scale.queueing import waits
from benchmarks.scale.sizing import Apps, Size, memcached_size, redis_size
from benchmarks.scale.storm import SERVED, Outcome, simulate
from benchmarks.scale.touching import Touching, users
from benchmarks.scale.touching import simulate as follow

INTERVALS: Final = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5)
"""``touch_interval``, in idle timeouts; 0: every read is recorded."""
IDLES: Final = {"14 days": 14 * DAY, "1 hour": 3600.0}
"""The default, and the longest of NIST's AAL2 (``SessionConfig.aal2``)."""
UTILISATIONS: Final = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)
ARRIVALS: Final = 20_000
FEWEST_RING: Final = 3
"""Servers of a Memcached that is to lose one."""


@dataclass(frozen=True)
class Point:
    """One number of sessions."""

    demand: Demand
    redis: Size
    memcached: Size
    copied: Size
    apps: Apps
    ring: RingLoss

    @property
    def ring_servers(self) -> int:
        """Of the Memcached that loses one."""
        return max(FEWEST_RING, self.memcached.servers)


@dataclass(frozen=True)
class Stormy:
    """A login storm on one Redis primary.

    :param load: what is asked of its thread, in what that can do
    :param outcome: of the simulation, where it is asked for more than it can do
    """

    times: float
    logins: float
    load: float
    outcome: Outcome | None


@dataclass(frozen=True)
class Answers:
    """By this plan and these measurements, for each of these numbers of sessions."""

    plan: Plan
    measured: Measured
    sessions: Sequence[float]

    @cached_property
    def touching(self) -> Mapping[str, Mapping[float, Touching]]:
        """For both idle timeouts, by the interval."""
        everybody = users(self.plan)
        return {
            name: {share: follow(everybody, idle, share * idle) for share in INTERVALS}
            for name, idle in IDLES.items()
        }

    @cached_property
    def touches(self) -> float:
        """Of each request, at the plan's own setting."""
        plan = self.plan
        return follow(users(plan), plan.idle, plan.touch * plan.idle).touches

    @cached_property
    def points(self) -> Sequence[Point]:
        """One for each number of sessions."""
        return [self._point(count) for count in self.sessions]

    def _point(self, count: float) -> Point:
        plan, measured = self.plan, self.measured
        demand = Demand.of(plan, count, self.touches)
        memcached = memcached_size(plan, measured, demand, 1)
        return Point(
            demand=demand,
            redis=redis_size(plan, measured, demand),
            memcached=memcached,
            copied=memcached_size(plan, measured, demand, 2),
            apps=Apps.of(plan, demand),
            ring=ring_loss(max(FEWEST_RING, memcached.servers), plan.seed),
        )

    @cached_property
    def waiting(self) -> Mapping[int, Mapping[float, Sequence[float]]]:
        """In service times, sorted by nothing: for one thread and for a Memcached's, by
        utilisation."""
        plan = self.plan
        return {
            servers: {
                load: waits(random.Random(f"waits {plan.seed}"), load, servers, ARRIVALS)
                for load in UTILISATIONS
            }
            for servers in sorted({1, plan.cores})
        }

    def service(self, server: str, size: Size) -> float:
        """Seconds that a command of this mix takes its server's thread, on average."""
        threads = 1 if server == "redis" else self.plan.cores
        return size.load * size.servers * threads / sum(size.commands.values())

    def stormy(self, point: Point, times: float) -> Stormy:
        """With so many times the usual logins, on each of the Redis primaries alike."""
        logins = point.demand.logins * times
        value = self.measured.value(self.plan.bytes, self.plan.sealing)
        each = sum(
            self.measured.cost("redis", verb, value).alone for verb in ("create", "load", "replace")
        )
        more = (logins - point.demand.logins) * each / point.redis.servers
        load = point.redis.load + more
        # As often as in truth each of the simulated processes asks this server.
        asked = sum(point.redis.commands.values()) / point.redis.servers / point.apps.processes
        processes = max(1, round(point.redis.load * SERVED / asked))
        outcome = None
        if load >= 1:
            usual = point.redis.commands
            more_logins = logins - point.demand.logins
            # Of a login's three commands two write.
            writes = sum(usual.values()) - usual["load"] + 2 * more_logins
            share = writes / (sum(usual.values()) + 3 * more_logins)
            outcome = simulate(self.plan.seed, point.redis.load, load, processes, share)
        return Stormy(times, logins, load, outcome)
