"""Idle and absolute lifetime. All times are seconds since the epoch; all spans are seconds.

A record carries its own timeouts (from whoever created the session), so these functions need
nothing but the record's numbers and the time now.
"""

from __future__ import annotations

from typing import Final

MAX_LIFETIME: Final = 100 * 365 * 86400.0
"""Seconds. A longer lifetime is cut to this: it has to fit into every store's expiry."""


def deadline(touched: float, idle: float, absolute: float) -> float:
    """When a session ends that was last active at ``touched``.

    >>> deadline(touched=1000, idle=60, absolute=1030)
    1030
    """
    return min(touched + idle, absolute)


def remaining(touched: float, idle: float, absolute: float, now: float) -> float:
    """Seconds until the session ends: zero or less when it is over.

    >>> remaining(touched=1000, idle=60, absolute=9999, now=1015)
    45
    """
    return deadline(touched, idle, absolute) - now


def touch_due(touched: float, interval: float, now: float) -> bool:
    """Whether enough time has passed to record that the session is in use.

    >>> touch_due(touched=1000, interval=6, now=1005), touch_due(touched=1000, interval=6, now=1006)
    (False, True)
    """
    return now - touched >= interval
