"""How long commands wait for their server: a queue with random arrivals and equal service times.

M/D/c: Redis has one thread (c = 1), Memcached several. Times are in service times.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from heapq import heapify, heapreplace

from benchmarks.statistics import quantile


def waits(rng: random.Random, utilisation: float, servers: int, count: int) -> list[float]:
    """How long each of so many waits until its service begins, the first tenth not counted.

    Each takes the server that is free first (Kiefer and Wolfowitz, 1955).
    """
    free = [0.0] * servers
    heapify(free)
    now, found = 0.0, []
    for number in range(count + count // 10):
        now += rng.expovariate(utilisation * servers)
        start = max(now, free[0])
        heapreplace(free, start + 1.0)
        if number >= count // 10:
            found.append(start - now)
    return found


def mean_wait(utilisation: float) -> float:
    """M/D/1 in closed form (Pollaczek and Khinchine).

    >>> mean_wait(0.5)
    0.5
    """
    return utilisation / (2 * (1 - utilisation))


def answered(waiting: Sequence[float], share: float) -> float:
    """By when that share has its answer, the service included."""
    return quantile(waiting, share) + 1.0
