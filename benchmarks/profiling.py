"""Whose time it is, by cProfile: functions are grouped by the package that they are in."""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

GROUPS: Final = {
    "benchmarks/": "the site and its caller",
    "sessionstore/core/": "core",
    "sessionstore/manager.py": "core",
    "sessionstore/stores/": "store client",
    "sessionstore/": "adapter",
    "redis/": "redis-py",
    "itsdangerous/": "core",
    "flask/": "framework",
    "werkzeug/": "framework",
    "django/": "framework",
    "asgiref/": "framework",
    "starlette/": "framework",
    "anyio/": "framework",
    "asyncio/": "event loop",
    "selectors.py": "event loop",
}
"""Where a file is, and whose time it is then; the first that fits counts."""

SYSTEM: Final = ("'send'", "'sendall'", "'recv'", "'recv_into'", "'poll'", "_socket", "select.")
"""What is in the names of functions that wait for the server."""

WAITING: Final = "sockets"
OTHER: Final = "other"

NAMES: Final = (*dict.fromkeys(GROUPS.values()), WAITING, OTHER)
"""The groups, in the order in which they are shown."""


def profile(action: Callable[[], object]) -> dict[str, float]:
    """Each group's share of the time."""
    profiler = cProfile.Profile()
    profiler.runcall(action)
    stats: Any = pstats.Stats(profiler)
    spent: Counter[str] = Counter()
    for (file, _, name), (_, _, own, _, callers) in stats.stats.items():
        if file != "~":
            spent[group(file)] += own
        elif any(part in name for part in SYSTEM):
            spent[WAITING] += own
        else:  # written in C: it works for whoever has called it
            for caller, (_, _, of_this, _) in callers.items():
                spent[group(caller[0])] += of_this
    total = sum(spent.values())
    return {name: spent[name] / total for name in NAMES}


def group(file: str) -> str:
    """Of one source file."""
    for part, name in GROUPS.items():
        if f"/{part}" in file or file.endswith(f"/{part}"):
            return name
    return OTHER
