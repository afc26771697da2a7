"""How even, as tables."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final

from benchmarks.report.tables import Table
from benchmarks.scale.answers import Answers
from benchmarks.scale.balance import fullest_on_the_ring, placed, placed_one_by_one, skew, zipf
from benchmarks.scale.units import count, percent, rate

SHARDS: Final = (3, 16, 64, 256)
EXPONENTS: Final = (0.6, 0.8, 1.0)
ONE_BY_ONE: Final = 50_000
"""Sessions that are placed by their keys."""


def balance(answers: Answers) -> Iterable[Table]:
    """Sessions, and commands where some sessions are more active."""
    seed, sessions = answers.plan.seed, int(max(answers.sessions))
    rows, hottest = [], {}
    for shards in SHARDS:
        rng = random.Random(f"balance {seed} {shards}")
        row = [
            str(shards),
            _times(skew(placed_one_by_one(rng, ONE_BY_ONE, shards))),
            _times(skew(placed(rng, sessions, shards))),
            _times(fullest_on_the_ring(shards)),
        ]
        for exponent in EXPONENTS:
            found = zipf(rng, sessions, shards, exponent)
            hottest[exponent] = found.hottest
            row.append(_times(found.skew))
        rows.append(row)
    rows.append(["the most active session", "", "", "", *map(percent, hottest.values())])
    most = count(sessions)
    value = answers.measured.value(answers.plan.bytes, answers.plan.sealing)
    loads, saves = (
        1 / answers.measured.cost("redis", verb, value).alone for verb in ("load", "replace")
    )
    yield Table(
        "The fullest shard, in means",
        f"Sessions: {count(ONE_BY_ONE)} placed by the slots of their keys; {most} by a draw from"
        f" the same distribution; on Memcached's ring, by its arcs."
        f" Commands: of {most} sessions, where the one of rank r is as active as r to the power of"
        " minus the exponent; the last line is the share of the first. A session is one key: a"
        f" Redis primary that does nothing else answers at most {rate(loads)} loads or"
        f" {rate(saves)} saves of it.",
        [
            *("shards", f"{count(ONE_BY_ONE)} sessions", f"{most} sessions", "on the ring"),
            *(f"commands, {exponent:g}" for exponent in EXPONENTS),
        ],
        rows,
    )


def _times(number: float) -> str:
    return f"{number:.3f} x" if number < 1.1 else f"{number:.2f} x"
