"""How long users wait who come at a fixed rate, stalls included."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from benchmarks.arriving import Visitors
from benchmarks.parts import Context
from benchmarks.parts.load import KINDS, NAMES, QUICK, serve_all
from benchmarks.statistics import quantile
from benchmarks.workers import take_turns

RATE: Final = 200.0
"""Requests a second: well below what any of the sites can do, so that there is no queue but by
accident."""
PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


def run(context: Context) -> dict[str, Any]:
    """``{site: {kind: {"p50": microseconds, ...}}}``, over all requests of the run."""
    rounds, seconds = (1, 1.5) if context.quick else (6, 4.0)
    names = QUICK if context.quick else NAMES
    found: dict[str, dict[str, list[float]]] = {
        name: {kind: [] for kind in KINDS} for name in names
    }
    with serve_all(names, context) as sites:

        def take(turn: tuple[str, str]) -> None:
            name, kind = turn
            visitors = Visitors(sites[name], kind)
            found[name][kind] += asyncio.run(visitors.come(RATE, seconds))
            sites[name].check(kind)

        turns = [(name, kind) for name in names for kind in KINDS]
        take_turns(rounds, turns, context.seed, take, context.progress)
    return {
        "rate": RATE,
        "sites": {
            name: {kind: _percentiles(times) for kind, times in kinds.items()}
            for name, kinds in found.items()
        },
    }


def _percentiles(times: list[float]) -> dict[str, float]:
    found = {name: quantile(times, share) for name, share in PERCENTILES.items()}
    return {**found, "requests": len(times)}
