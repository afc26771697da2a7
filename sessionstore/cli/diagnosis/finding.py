"""What is said about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """How bad it is; a higher number is worse."""

    OK = 0
    UNKNOWN = 1
    """It could not be looked at."""
    NOTE = 2
    """Nothing is wrong; it should be known."""
    WARNING = 3
    """It will hurt some day: when a machine fails, or somebody is in the network."""
    ERROR = 4
    """It hurts now: sessions end at will, are refused, or lie open."""

    @property
    def label(self) -> str:
        """``"warning"``; what ``--fail-on`` takes."""
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param id: for programs; does not change: ``"eviction"``
    :param what: what was seen, and what it means
    :param to_do: what to do about it; empty if nothing
    """

    id: str
    severity: Severity
    what: str
    to_do: str = ""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "id": self.id,
            "severity": self.severity.label,
            "what": self.what,
            "to_do": self.to_do,
        }


def in_bytes(number: float) -> str:
    """A size that can be read.

    >>> in_bytes(100), in_bytes(3 * 2**20), in_bytes(1.5 * 2**30)
    ('100 B', '3 MiB', '1.5 GiB')
    """
    units = ["TiB", "GiB", "MiB", "KiB", "B"]
    while number >= 1000 and len(units) > 1:
        number /= 1024
        units.pop()
    return f"{number:.3g} {units[-1]}"


def in_time(seconds: float) -> str:
    """A span that can be read.

    >>> in_time(90), in_time(3 * 86_400.5)
    ('0:01:30', '3 days')
    """
    days = int(seconds) // 86_400
    return f"{days} days" if days > 1 else str(timedelta(seconds=int(seconds)))
