"""What a session adds to a request, in process: no HTTP server, no socket but the store's."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from benchmarks.calling import COUNTED, KINDS
from benchmarks.clients import CLIENTS, RAW
from benchmarks.data import SIZE
from benchmarks.parts import Context
from benchmarks.sites import SITES
from benchmarks.statistics import quantile
from benchmarks.watching import Watch
from benchmarks.workers import Worker, run_workers, take_turns

ROUND_TRIP: Final = f"redis-sync:{RAW}"
"""The worker whose GET is a round trip, by which times are divided."""

COUNT: Final = 4
"""Requests of each kind whose store commands are counted."""


def run(context: Context) -> dict[str, Any]:
    """``{site: {kind: {"wall": [...], "cpu": [...], "commands": {...}}}}``, and the round trip.

    A figure is the median of one round's batch; of CPU time, which the system counts in coarser
    steps, the mean.
    """
    rounds, count = (8, 10) if context.quick else (60, 20)
    names = [*SITES, ROUND_TRIP]
    found: dict[str, Any] = {name: {} for name in SITES}
    with run_workers(names, context.servers, context.environment) as workers:
        for name in SITES:
            workers[name].ask("fill", size=SIZE)
        workers[ROUND_TRIP].ask("fill")
        for name, site in SITES.items():
            for kind in KINDS:
                result: dict[str, Any] = defaultdict(list)
                if site.counted:
                    result["commands"] = _commands(workers[name], kind, context)
                found[name][kind] = result
            if site.counted and site.has_sessions:
                counted = {kind: _commands(workers[name], kind, context) for kind in COUNTED}
                found[name]["counted"] = counted
        round_trips: dict[str, Any] = defaultdict(list)

        def take(turn: tuple[str, str]) -> None:
            name, kind = turn
            if name == ROUND_TRIP:
                batch = workers[name].ask("batch", operation=kind, concurrency=1, count=count)
                into = round_trips
            else:
                several = count if SITES[name].quick else max(3, count // 5)
                batch = workers[name].ask("batch", kind=kind, count=several)
                into = found[name][kind]
            into["wall"].append(quantile(batch["wall"], 0.5))
            into["cpu"].append(batch["cpu"])

        turns = [(name, kind) for name in SITES for kind in KINDS] + [(ROUND_TRIP, "get")]
        take_turns(rounds, turns, context.seed, take, context.progress)
    return {"sites": found, "round trip": round_trips, "rounds": rounds, "batch": count}


def _commands(worker: Worker, kind: str, context: Context) -> dict[str, float]:
    """The store commands of one request of this kind, by name."""
    if kind == "logout":
        worker.ask("sign_up", count=COUNT + 1)
    worker.ask("plain", kind=kind, count=1)  # what is done once: a connection, a script
    with Watch(context.servers) as watch:
        worker.ask("plain", kind=kind, count=COUNT)
    return {name: calls / COUNT for name, calls in sorted(watch.commands.items())}


assert ROUND_TRIP in CLIENTS
