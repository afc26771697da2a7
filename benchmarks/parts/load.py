"""Requests a second behind gunicorn (two workers) and uvicorn (one), asked by wrk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from benchmarks.parts import Context
from benchmarks.serving import Served, serve
from benchmarks.sites import SITES
from benchmarks.workers import take_turns
from benchmarks.wrk import put_load

KINDS: Final = ("read", "write")
NAMES: Final = (
    "flask:none",
    "flask:sessionstore",
    "flask:cookie",
    "flask:flask-session",
    "starlette:none",
    "starlette:sessionstore",
    "starlette:cookie",
    "starlette:starsessions",
    "django:none",
    "django:sessionstore",
    "django:cookie",
    "django:cache",
    "django:django-redis",
)
QUICK: Final = tuple(
    name for name in NAMES if not name.startswith("django") and not name.endswith(":none")
)
"""Those that there are goals about."""
WORKERS: Final = {"flask": 2, "django": 2, "starlette": 1}
"""Of a framework's site. The machine has two cores, for the site, the server and wrk together."""


def run(context: Context) -> dict[str, Any]:
    """``{site: {kind: {"rate": [...], "p50": [...], "p99": [...]}}}``, a figure for each round."""
    rounds, seconds = (2, 1) if context.quick else (6, 3)
    names = QUICK if context.quick else NAMES
    found: dict[str, Any] = {name: {kind: defaultdict(list) for kind in KINDS} for name in names}
    with serve_all(names, context) as sites:

        def take(turn: tuple[str, str]) -> None:
            name, kind = turn
            load = put_load(sites[name], kind, seconds)
            into = found[name][kind]
            into["rate"].append(load.rate)
            into["p50"].append(load.median)
            into["p99"].append(load.p99)

        turns = [(name, kind) for name in names for kind in KINDS]
        take_turns(rounds, turns, context.seed, take, context.progress)
    return {"sites": found, "rounds": rounds, "seconds": seconds, "workers": WORKERS}


@contextmanager
def serve_all(names: Sequence[str], context: Context) -> Iterator[dict[str, Served]]:
    """These sites, at once: who has no requests waits, and takes no time."""
    with ExitStack() as stack:
        sites = {}
        for number, name in enumerate(names):
            context.progress(0.0, f"starting {number + 1} of {len(names)} sites")
            workers = WORKERS[SITES[name].framework]
            site = serve(name, context.servers, workers, context.environment)
            sites[name] = stack.enter_context(site)
        yield sites
