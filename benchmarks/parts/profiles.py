"""Where a request's time goes: a profile of each of our sites, by who spends it."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.data import SIZE
from benchmarks.parts import Context
from benchmarks.sites import OURS
from benchmarks.workers import run_workers

SITES: Final = tuple(f"{name}:{OURS}" for name in ("flask", "django", "starlette"))
KINDS: Final = ("read", "write", "rotate")


def run(context: Context) -> dict[str, Any]:
    """``{site: {kind: {group: share of the time}}}``; the profiler slows down what calls much, so
    the shares are rough."""
    count = 400 if context.quick else 4000
    found: dict[str, Any] = {name: {} for name in SITES}
    with run_workers(SITES, context.servers, context.environment) as workers:
        for number, name in enumerate(SITES):
            context.progress(number / len(SITES), name)
            workers[name].ask("fill", size=SIZE)
            for kind in KINDS:
                found[name][kind] = workers[name].ask("profile", kind=kind, count=count)
    return found
