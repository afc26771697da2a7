"""The circuit breaker: what it takes for a server to be known dead, and to be known alive again."""

from __future__ import annotations

from sessionstore.core.errors import StoreUnavailable
from sessionstore.stores.health import IDLE_SECONDS, PROBE_SECONDS, Breaker, NodeHealth

PATIENCE = 0.5
ERROR = StoreUnavailable("no reply in time", node="h:1")


def dead(now: float = 100.0) -> Breaker:
    """One that has opened at this time."""
    breaker = Breaker(PATIENCE)
    for moment in (now - PATIENCE, now - PATIENCE / 2, now):
        breaker.failed(moment, ERROR)
    assert breaker.is_open
    return breaker


def test_a_burst_at_one_instant_is_one_event() -> None:
    """Fifty tasks lose the one connection that they shared."""
    breaker = Breaker(PATIENCE)
    for _ in range(50):
        breaker.failed(100.0, ERROR)
    assert not breaker.is_open
    assert breaker.admits(100.0)


def test_two_failures_far_apart_are_not_enough() -> None:
    breaker = Breaker(PATIENCE)
    breaker.failed(100.0, ERROR)
    breaker.failed(200.0, ERROR)
    assert not breaker.is_open


def test_a_success_begins_the_count_anew() -> None:
    breaker = Breaker(PATIENCE)
    for moment in (100.0, 100.4):
        breaker.failed(moment, ERROR)
    breaker.succeeded()
    for moment in (100.5, 100.6, 100.9):
        breaker.failed(moment, ERROR)
    assert not breaker.is_open
    breaker.failed(101.0, ERROR)
    assert breaker.is_open


def test_while_it_is_open_one_request_in_an_interval_may_try() -> None:
    breaker = dead(100.0)
    assert not breaker.admits(100.0)
    assert not breaker.admits(100.0 + PROBE_SECONDS * 0.99)
    assert breaker.admits(100.0 + PROBE_SECONDS)
    # Its outcome is not known yet: nobody else.
    assert not breaker.admits(100.0 + PROBE_SECONDS)
    # It never came back, cancelled perhaps: the next one may.
    assert breaker.admits(100.0 + 2 * PROBE_SECONDS)


def test_a_failed_probe_keeps_it_open_and_a_good_one_closes_it() -> None:
    breaker = dead(100.0)
    assert breaker.admits(100.3)
    breaker.failed(100.4, ERROR)
    assert not breaker.admits(100.5)
    assert breaker.admits(100.4 + PROBE_SECONDS)
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.admits(100.7)
    breaker.failed(100.8, ERROR)
    assert not breaker.is_open


def test_a_burst_after_a_while_without_requests_is_not_refused() -> None:
    """The server may be well again since, and there was nobody to see it (found by the soak)."""
    breaker = dead(100.0)
    later = 100.0 + PROBE_SECONDS + IDLE_SECONDS
    assert all(breaker.admits(later) for _ in range(5))
    breaker.succeeded()
    assert breaker.admits(later)


def test_the_first_failure_of_such_a_burst_opens_it_again() -> None:
    breaker = dead(100.0)
    later = 100.0 + PROBE_SECONDS + IDLE_SECONDS
    assert breaker.admits(later)
    breaker.failed(later + 0.2, ERROR)
    assert not breaker.admits(later + 0.2)
    assert breaker.admits(later + 0.2 + PROBE_SECONDS)


def test_steady_requests_are_never_such_a_while() -> None:
    """Not even if each probe takes long to fail: there is another one before."""
    breaker = dead(100.0)
    admitted = [breaker.admits(100.0 + step / 10) for step in range(100)]
    assert sum(admitted) <= 10.0 / PROBE_SECONDS


def test_what_it_tells() -> None:
    breaker = Breaker(PATIENCE)
    assert breaker.health("h:1", "primary", 99.0) == NodeHealth("h:1", "primary", available=True)
    breaker.succeeded()
    assert breaker.health("h:1", "primary", 99.0).answered
    breaker = dead(100.0)
    assert breaker.health("h:1", "replica", 102.0) == NodeHealth(
        "h:1", "replica", available=False, failing=2.5, error="no reply in time"
    )
