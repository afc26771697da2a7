"""Draws of large numbers, without numpy."""

from __future__ import annotations

import random
from collections.abc import Sequence


def binomial(rng: random.Random, count: int, chance: float) -> int:
    """How many of `count` happen, each with this chance: exact, in time that grows with the
    logarithm of `count`.

    The middle one of so many uniform numbers has a beta distribution; it says on which side of it
    `chance` lies, and half of the numbers are decided (Devroye, "Non-Uniform Random Variate
    Generation", 1986, chapter X.4.3).
    """
    found = 0
    while count > 20:
        middle = count // 2 + 1
        at = rng.betavariate(middle, count + 1 - middle)
        if at <= chance:
            found += middle
            count -= middle
            chance = min(1.0, (chance - at) / (1 - at))
        else:
            count = middle - 1
            chance = min(1.0, chance / at)
    return found + sum(rng.random() < chance for _ in range(count))


def multinomial(rng: random.Random, count: int, weights: Sequence[float]) -> list[int]:
    """How `count` fall to places, in proportion to their weights."""
    found, left = [], sum(weights)
    for weight in weights[:-1]:
        here = binomial(rng, count, min(1.0, weight / left)) if count else 0
        found.append(here)
        count -= here
        left -= weight
    return [*found, count]
