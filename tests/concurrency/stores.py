"""Which stores, and how many histories of each."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

from tests.support.every_store import STORES

SHARED: Final = [name for name in STORES if name != "memory"]
"""Between processes."""
BEHIND_A_NETWORK: Final = [name for name in SHARED if name not in {"sqlite", "sentinel", "cluster"}]
"""Between clients and which a proxy can stand. What sentinels and clusters name leads past it:
``make drill`` breaks those."""


def seeds(count: int) -> range:
    """As many histories, or as many times more as the profile has of hypothesis' examples."""
    times = settings().max_examples / settings.get_profile("local").max_examples
    return range(max(1, int(count * times)))
