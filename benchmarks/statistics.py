"""Medians and their spread. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def quantile(numbers: Sequence[float], share: float) -> float:
    """Between the two nearest, in proportion (R's type 7).

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.5
    """
    ordered = sorted(numbers)
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True)
class Spread:
    """A median, and the quartiles beside it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Of at least one number."""
        return cls(quantile(numbers, 0.5), quantile(numbers, 0.25), quantile(numbers, 0.75))


def added(rounds: Sequence[float], base: Sequence[float]) -> list[float]:
    """What something costs beyond its base, round by round: both were measured in each."""
    return [with_it - without for with_it, without in zip(rounds, base, strict=True)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The ratio of the medians. The spread is that of the rounds' own ratios around it.

    A difference of two noisy figures can come near zero in one round, so that round's ratio means
    nothing by itself: the median of ratios is not taken.
    """
    middle = quantile(ours, 0.5) / quantile(theirs, 0.5)
    each = [one / other for one, other in zip(ours, theirs, strict=True) if other > 0]
    if not each:
        return Spread(middle, middle, middle)
    around = Spread.of(each)
    return Spread(middle, middle * around.low / around.median, middle * around.high / around.median)
