"""Whether what a process holds stays the same. No I/O, no clock.

It is looked at in *rests*: now and then there are no requests, no faults and no connections from
outside, so that what is held then is held for good. A process' first rest is left out, for it warms
up. What is left is a line through the medians of the others, by Theil and Sen: the median of the
slopes between each two, which a few outliers do not move.

Pools are no leaks. As many connections as there were requests at once a process may keep, and as
many threads, whenever it was that there were so many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Final

Points = Sequence[tuple[float, float]]
"""Time in seconds, and value."""

FEWEST: Final = 3
"""Rests, beside the first, without which nothing can be said of a process."""


@dataclass(frozen=True)
class Bound:
    """By how much a value may grow from the first rest that counts to the last.

    :param absolute: in the value's own unit
    :param per_request: and for each request of the process besides
    :param pooled: or until there is one for each request that was under way at once
    """

    absolute: float
    per_request: float = 0.0
    pooled: bool = False


BOUNDS: Final = {
    "rss": Bound(4 * 2**20, 64.0),
    "descriptors": Bound(4.0, pooled=True),
    "threads": Bound(2.0, pooled=True),
    "blocks": Bound(1500.0, 0.25),
}
"""A process that leaks a descriptor a fault, or an object every fourth request, breaks them."""

CONNECTIONS: Final = Bound(4.0, pooled=True)
"""The store's clients, of all processes together."""


@dataclass(frozen=True)
class Served:
    """What a process had to do.

    :param requests: in all
    :param at_once: the most that its whole site had under way at a time
    """

    requests: int = 0
    at_once: int = 0


@dataclass(frozen=True)
class Series:
    """One value of one process, or of the store.

    :param start: the median of the first rest that counts
    :param end: that of the last
    :param growth: by the line through all of them
    :param allowed: growth
    """

    site: str
    pid: int
    name: str
    start: float
    end: float
    growth: float
    allowed: float

    @property
    def flat(self) -> bool:
        """Whether it grows no more than it may."""
        return self.growth <= self.allowed


def series(
    site: str,
    pid: int,
    name: str,
    points: Points,
    rests: Sequence[tuple[float, float]],
    bound: Bound,
    load: Served,
) -> Series | None:
    """One line; None if there were too few rests.

    :param rests: when each began and ended
    """
    first, *seen = at_rest(points, rests) or [(0.0, 0.0)]
    if len(seen) < FEWEST:
        return None
    start, span = seen[0][1], seen[-1][0] - seen[0][0]
    allowed = bound.absolute + bound.per_request * load.requests
    if bound.pooled:
        lowest = min(value for _, value in (first, *seen))
        allowed = max(allowed, lowest + load.at_once - start)
    return Series(site, pid, name, start, seen[-1][1], slope(seen) * span, allowed)


def at_rest(points: Points, rests: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The median of each rest that has any."""
    found = []
    for began, ended in rests:
        values = [value for at, value in points if began <= at <= ended]
        if values:
            found.append(((began + ended) / 2, float(median(values))))
    return found


def slope(points: Points) -> float:
    """By Theil and Sen: the median of the slopes between each two points."""
    return float(
        median((two[1] - one[1]) / (two[0] - one[0]) for one, two in combinations(points, 2))
    )


def by_process(points: Iterable[tuple[int, float, float]]) -> Mapping[int, Points]:
    """Process, time and value, process by process."""
    found: dict[int, list[tuple[float, float]]] = {}
    for pid, at, value in points:
        found.setdefault(pid, []).append((at, value))
    return found
