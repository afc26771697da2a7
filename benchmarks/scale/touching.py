"""What touch throttling costs and saves: users who come and go, and the core's own rule.

A read is recorded when ``touch_interval`` has passed since the last that was; a write records it
anyway. What is not recorded ends a session earlier, by up to that interval.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.scale.plan import DAY, Plan
from sessionstore.core.expiry import remaining, touch_due

USERS = 10
VISITS = 400
"""As many are followed, each for so many visits: long enough that the beginning, after which the
first touch is an interval away, is a small part."""

NO_ABSOLUTE = float("inf")

Request = tuple[float, str]
"""When, in seconds; and ``"untouched"``, ``"read"`` or ``"write"``."""


@dataclass(frozen=True)
class Touching:
    """What became of the requests.

    :param touches: writes that only record activity, of each request
    :param early: seconds before the idle timeout at which a session would have ended, on average
        over the ends of visits
    :param most_early: the same at most
    :param ended: sessions that had ended when their user came back, of each visit
    """

    touches: float
    early: float
    most_early: float
    ended: float


def visits(plan: Plan, rng: random.Random, count: int) -> Iterator[list[Request]]:
    """One user's visits: they begin at random times, and so do the requests within each."""
    between = DAY * plan.visit / plan.requests
    now = 0.0
    for _ in range(count):
        now += rng.expovariate(1 / between)
        found = [(now, _kind(plan, rng))]
        # Geometric: so many on average, and at least one.
        while rng.random() > 1 / plan.visit:
            now += rng.expovariate(1 / plan.gap)
            found.append((now, _kind(plan, rng)))
        yield found


def _kind(plan: Plan, rng: random.Random) -> str:
    draw = rng.random()
    if draw < plan.untouched:
        return "untouched"
    return "write" if draw < plan.untouched + plan.writes else "read"


def users(plan: Plan) -> list[list[list[Request]]]:
    """All that are followed: the same ones at each setting."""
    rng = random.Random(f"touching {plan.seed}")
    return [list(visits(plan, rng, VISITS)) for _ in range(USERS)]


def simulate(
    everybody: Sequence[Sequence[Sequence[Request]]], idle: float, interval: float
) -> Touching:
    """Follow them all.

    :param idle: the idle timeout, in seconds
    :param interval: ``touch_interval``, in seconds; 0: every read is recorded
    """
    requests = touches = ended = 0
    early: list[float] = []
    for user in everybody:
        touched = user[0][0][0]  # each begins with a login
        for visit in user:
            for now, kind in visit:
                requests += 1
                if remaining(touched, idle, NO_ABSOLUTE, now) <= 0:
                    ended += 1
                    touched = now
                elif kind == "write":
                    touched = now
                elif kind == "read" and touch_due(touched, interval, now):
                    touches += 1
                    touched = now
            early.append(_last_use(visit, touched) - touched)
    count = len(early)
    return Touching(touches / requests, sum(early) / count, max(early), ended / count)


def _last_use(visit: Sequence[Request], touched: float) -> float:
    """The last request that used the session; what does not is no activity."""
    return max((now for now, kind in visit if kind != "untouched"), default=touched)
