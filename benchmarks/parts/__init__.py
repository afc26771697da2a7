"""What is measured. Each module's ``run`` returns plain data, which goes into the result under the
module's name: times in microseconds, sizes in bytes, a list where it was measured more than once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from benchmarks.servers import Servers

Progress = Callable[[float, str], None]
"""Told the share that is done, from 0 to 1, and what is at work."""

PARTS: Final = {
    "requests": "time, CPU and store commands that a session adds to a request",
    "profiles": "where the time of a request goes",
    "clients": "the stores beside other clients, from 1, 8 and 50 threads or tasks",
    "load": "requests a second behind gunicorn and uvicorn",
    "arrivals": "how long users wait who come at a fixed rate",
    "growth": "with attributes, size, stored sessions and workers",
    "sizes": "what a session takes in Redis",
    "startup": "what an import takes, and how large the wheel is",
}
"""Module, and what it is about."""


@dataclass(frozen=True)
class Context:
    """What a part needs.

    :param quick: as few samples as still mean something
    :param seed: of the order in which turns are taken
    """

    servers: Servers
    environment: Mapping[str, str]
    quick: bool
    seed: int
    progress: Progress


def run_part(name: str, context: Context) -> dict[str, Any]:
    """One of :data:`PARTS`."""
    found: dict[str, Any] = import_module(f"benchmarks.parts.{name}").run(context)
    return found
