"""How cost grows: with attributes, with size, with what else is stored, and with workers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from benchmarks.data import SIZE
from benchmarks.parts import Context
from benchmarks.servers import Servers
from benchmarks.serving import serve
from benchmarks.sites import SITES
from benchmarks.statistics import added, quantile
from benchmarks.workers import run_workers, take_turns
from benchmarks.wrk import put_load

NAMES: Final = ("flask:sessionstore", "flask:flask-session", "starlette:sessionstore")
KINDS: Final = ("read", "write")
ATTRIBUTES: Final = (2, 8, 64)
ATTRIBUTES_SIZE: Final = 2048
"""Bytes of all of them together."""
SIZES: Final = (200, 600, 4096, 65536)
STORED: Final = (1_000, 10_000, 100_000, 1_000_000)
WORKERS: Final = (1, 2, 4)
UNDER_LOAD: Final = (
    "flask:none",
    "flask:sessionstore",
    "starlette:none",
    "starlette:sessionstore",
)


def run(context: Context) -> dict[str, Any]:
    """``{"attributes": {site: {kind: {"2": [...]}}}, "size": ..., "stored": ..., "workers": ...}``:
    microseconds that the session adds, round by round; of workers, requests a second (not in a
    quick run: a dozen sites take long to start)."""
    attributes = [{"attributes": count, "size": ATTRIBUTES_SIZE} for count in ATTRIBUTES]
    names = [*NAMES, *{SITES[name].base for name in NAMES}]
    with run_workers(names, context.servers, context.environment) as workers:

        def measure(cases: Sequence[tuple[str, dict[str, int]]]) -> dict[str, Any]:
            return _measure(context, workers, names, cases)

        found: dict[str, Any] = {
            "attributes size": ATTRIBUTES_SIZE,
            "attributes": measure([(str(case["attributes"]), case) for case in attributes]),
            "size": measure([(str(size), {"size": size}) for size in SIZES]),
            "stored": {name: {kind: {} for kind in KINDS} for name in NAMES},
        }
        for stored in STORED[:2] if context.quick else STORED:
            _store(context.servers, stored)
            for name, kinds in measure([(str(stored), {"size": SIZE})]).items():
                for kind, times in kinds.items():
                    found["stored"][name][kind].update(times)
    if not context.quick:
        found["workers"] = _under_load(context)
    return found


def _measure(
    context: Context,
    workers: dict[str, Any],
    names: Sequence[str],
    cases: Sequence[tuple[str, dict[str, int]]],
) -> dict[str, Any]:
    """``{site: {kind: {case: [...]}}}``."""
    rounds, count = (4, 10) if context.quick else (30, 20)
    for name in names:
        for case, query in cases:
            workers[name].ask("fill", case=case, **query)
    walls: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def take(turn: tuple[str, str, str]) -> None:
        name, kind, case = turn
        batch = workers[name].ask("batch", kind=kind, count=count, case=case)
        walls[turn].append(quantile(batch["wall"], 0.5))

    turns = [(name, kind, case) for name in names for kind in KINDS for case, _ in cases]
    take_turns(rounds, turns, context.seed, take, context.progress)
    return {
        name: {
            kind: {
                case: added(walls[name, kind, case], walls[SITES[name].base, kind, case])
                for case, _ in cases
            }
            for kind in KINDS
        }
        for name in NAMES
    }


def _store(servers: Servers, count: int) -> None:
    """Have Redis hold about as many keys, as large as sessions."""
    with servers.redis() as client:
        value = "v" * SIZE
        for begin in range(client.dbsize(), count, 1000):
            pipeline = client.pipeline(transaction=False)
            for number in range(begin, begin + 1000):
                pipeline.set(f"session:s:other{number:011}", value, px=3_600_000)
            pipeline.execute()


def _under_load(context: Context) -> dict[str, Any]:
    """``{site: {kind: {workers: [...]}}}``."""
    rounds, seconds = 4, 3
    found: dict[str, Any] = {
        name: {kind: {str(count): [] for count in WORKERS} for kind in KINDS} for name in UNDER_LOAD
    }
    with ExitStack() as stack:
        sites = {
            (name, count): stack.enter_context(
                serve(name, context.servers, count, context.environment)
            )
            for name in UNDER_LOAD
            for count in WORKERS
        }

        def take(turn: tuple[str, int, str]) -> None:
            name, count, kind = turn
            found[name][kind][str(count)].append(put_load(sites[name, count], kind, seconds).rate)

        turns = [(name, count, kind) for name, count in sites for kind in KINDS]
        take_turns(rounds, turns, context.seed, take, context.progress)
    return found
