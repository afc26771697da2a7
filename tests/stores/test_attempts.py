"""Retries, without a clock and without a server."""

from __future__ import annotations

import pytest

from sessionstore.core.errors import (
    DeadlineExceeded,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.stores.attempts import (
    BACKOFF_BASE,
    BACKOFF_CAP,
    Attempts,
    Failure,
    refused,
    unavailable,
)

DOWN = unavailable("down", "n:1")
LOST = unavailable("no reply", "n:1", lost=True)


def attempts(*, write: bool = False, deadline: float = 100.5) -> Attempts:
    """From 100.0 on, half a second, 0.2 s for each attempt."""
    return Attempts(deadline, 0.2, write=write, node="n:1")


def test_an_attempt_gets_its_share_and_no_more_than_is_left() -> None:
    tries = attempts()
    assert tries.start(100.0) == pytest.approx(100.2)
    assert tries.start(100.4) == pytest.approx(100.5)


def test_nothing_begins_after_the_deadline() -> None:
    with pytest.raises(DeadlineExceeded):
        attempts().start(100.5)


def test_after_a_failure_the_deadline_tells_the_failure() -> None:
    tries = attempts()
    tries.start(100.0)
    tries.failed(DOWN, 100.1, 0.5)
    with pytest.raises(StoreUnavailable, match="down"):
        tries.start(100.6)


def test_pauses_are_drawn_from_a_doubling_range_with_a_cap() -> None:
    tries = attempts(deadline=1000)
    pauses = [tries.failed(DOWN, 100.0, 1.0) for _ in range(20)]
    assert pauses[:3] == pytest.approx([BACKOFF_BASE, 2 * BACKOFF_BASE, 4 * BACKOFF_BASE])
    assert pauses[-1] == BACKOFF_CAP
    # Full jitter: from zero up.
    assert tries.failed(DOWN, 100.0, 0.0) == 0


def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    with pytest.raises(StoreUnavailable, match="down"):
        attempts().failed(DOWN, 100.4999, 1.0)


@pytest.mark.parametrize("write", [False, True])
def test_what_was_not_sent_is_tried_again(write: bool) -> None:
    assert attempts(write=write).failed(DOWN, 100.0, 1.0) > 0


def test_a_lost_reply_is_tried_again_for_a_read_only() -> None:
    assert attempts(write=False).failed(LOST, 100.0, 1.0) > 0
    with pytest.raises(OutcomeUnknown) as caught:
        attempts(write=True).failed(LOST, 100.0, 1.0)
    assert caught.value.node == "n:1"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (refused("no", "n:1"), StoreRefused),
        (Failure(StoreFull("full"), retry=False), StoreFull),
    ],
)
@pytest.mark.parametrize("write", [False, True])
def test_some_are_final(failure: Failure, kind: type[StoreError], write: bool) -> None:
    with pytest.raises(kind):
        attempts(write=write).failed(failure, 100.0, 0.0)


def test_a_garbled_reply_to_a_write_leaves_its_outcome_unknown() -> None:
    with pytest.raises(OutcomeUnknown):
        attempts(write=True).failed(refused("garbled", "n:1", lost=True), 100.0, 0.0)


def test_what_was_put_right_once_is_not_put_right_again() -> None:
    tries = attempts()
    tries.once(refused("no table", "n:1"))
    with pytest.raises(StoreRefused, match="no table"):
        tries.once(refused("no table", "n:1"))


def test_many_attempts_do_not_overflow() -> None:
    tries = attempts(deadline=1e9)
    for _ in range(5000):
        assert tries.failed(DOWN, 100.0, 1.0) <= BACKOFF_CAP
