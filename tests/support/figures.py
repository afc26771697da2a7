"""What the answers amount to. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

APART: Final = 1.0
"""Seconds without an error that end an interval of errors."""

SETTLING: Final = 1.0
"""Seconds after the promotion of another primary within which errors are still its matter."""


@dataclass(frozen=True)
class Sample:
    """One request.

    :param kind: ``"read"`` or ``"write"``
    :param status: of the answer; 0: there was none, and ``problem`` says why
    """

    site: str
    kind: str
    began: float
    ended: float
    status: int
    problem: str = ""

    @property
    def failed(self) -> bool:
        """Whether the user got an error page, or nothing. 401 and 409 are answers."""
        return self.status == 0 or self.status >= 500

    @property
    def took(self) -> float:
        """Seconds."""
        return self.ended - self.began

    def is_late(self, timeout: float, margin: float) -> bool:
        """Whether it is no 503 by the deadline; a write has two, one to load and one to store.

        :param timeout: the store's, in seconds
        :param margin: seconds that a busy machine may add
        """
        deadline = timeout * (1 if self.kind == "read" else 2) + margin
        return self.status != 503 or self.took > deadline


@dataclass(frozen=True)
class Window:
    """What is allowed to fail: between the fault and a second after its end."""

    fault: float
    promoted: float

    def excuses(self, sample: Sample) -> bool:
        """Whether a failure has to do with the fault."""
        return sample.ended >= self.fault and sample.began <= self.promoted + SETTLING


def intervals(samples: Iterable[Sample]) -> list[float]:
    """How long each consecutive interval of errors was, in seconds, site by site."""
    lengths: list[float] = []
    times: dict[str, list[float]] = {}
    for sample in samples:
        if sample.failed:
            times.setdefault(sample.site, []).append(sample.ended)
    for ends in times.values():
        ends.sort()
        first = last = ends[0]
        for end in ends[1:]:
            if end - last > APART:
                lengths.append(last - first)
                first = end
            last = end
        lengths.append(last - first)
    return lengths


def recovery(samples: Sequence[Sample], fault: float) -> float | None:
    """Seconds from the fault to the first success after which there are no more errors, of the
    slowest site; None: there was no error, or no success after the last."""
    slowest: float | None = None
    for site in {sample.site for sample in samples}:
        mine = [sample for sample in samples if sample.site == site]
        errors = [sample.ended for sample in mine if sample.failed]
        if not errors:
            continue
        after = [
            sample.ended for sample in mine if not sample.failed and sample.ended > max(errors)
        ]
        if not after:
            return None
        slowest = max(slowest or 0.0, min(after) - fault)
    return slowest


def median(numbers: Sequence[float]) -> float:
    """The lower of two middles, so that it is one that was seen; 0 of nothing."""
    return sorted(numbers)[(len(numbers) - 1) // 2] if numbers else 0.0
