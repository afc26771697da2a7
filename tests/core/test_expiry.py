"""A session ends at its idle or its absolute deadline, whichever comes first."""

from __future__ import annotations

import pytest

from sessionstore.core import expiry


@pytest.mark.parametrize(
    ("touched", "idle", "absolute", "ends"),
    [
        (1000, 60, 9999, 1060),
        (1000, 60, 1030, 1030),
        (1000, 60, 1060, 1060),
        (1000, 0, 9999, 1000),
        (1000, -5, 9999, 995),
        (1000, float("inf"), 2000, 2000),
    ],
)
def test_the_earlier_deadline_counts(
    touched: float, idle: float, absolute: float, ends: float
) -> None:
    assert expiry.deadline(touched, idle, absolute) == ends
    assert expiry.remaining(touched, idle, absolute, now=ends) == 0
    assert expiry.remaining(touched, idle, absolute, now=ends - 7) == 7
    assert expiry.remaining(touched, idle, absolute, now=ends + 1) == -1


@pytest.mark.parametrize(
    ("now", "due"), [(999, False), (1000, False), (1005.9, False), (1006, True), (9999, True)]
)
def test_a_touch_is_due_when_the_interval_has_passed(now: float, due: bool) -> None:
    assert expiry.touch_due(touched=1000, interval=6, now=now) is due


def test_the_longest_lifetime_fits_into_every_stores_expiry() -> None:
    # Redis refuses a PX beyond 2**63 - 1 - now, in milliseconds; datetime ends in 9999.
    assert 0 < expiry.MAX_LIFETIME * 1000 < 2**62
