"""What a client is told: opaque, never cached, and the same from each adapter."""

from __future__ import annotations

import pytest

from sessionstore import (
    CodecError,
    ConflictUnresolved,
    DeadlineExceeded,
    HeadersAlreadySent,
    NotLoaded,
    OutcomeUnknown,
    SessionError,
    SessionGone,
    SessionTooLarge,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    UnstorableValue,
)
from sessionstore.answers import RETRY_AFTER, answer_to

STORE_FAILURES = [
    kind("a reason", node="db1:6379")
    for kind in (
        StoreUnavailable,
        DeadlineExceeded,
        StoreRefused,
        StoreFull,
        OutcomeUnknown,
        ConflictUnresolved,
    )
]
OWN_DOING = [
    UnstorableValue("cart", "why"),
    SessionTooLarge(2, 1, ()),
    HeadersAlreadySent("late"),
    NotLoaded(),
    CodecError("x"),
]


@pytest.mark.parametrize("error", STORE_FAILURES, ids=lambda error: type(error).__name__)
def test_a_store_failure_is_a_503_that_says_when_to_come_again(error: SessionError) -> None:
    answer = answer_to(error)
    assert answer is not None
    assert answer.status == 503
    assert ("Retry-After", str(RETRY_AFTER)) in answer.headers
    assert ("Cache-Control", "no-store") in answer.headers
    for detail in ("db1", "6379", "reason"):
        assert detail not in answer.text


def test_a_session_that_has_gone_is_a_409() -> None:
    answer = answer_to(SessionGone("a-handle", "why"))
    assert answer is not None
    assert answer.status == 409
    assert ("Cache-Control", "no-store") in answer.headers
    assert "a-handle" not in answer.text


@pytest.mark.parametrize("error", OWN_DOING, ids=lambda error: type(error).__name__)
def test_the_applications_own_doing_is_raised(error: SessionError) -> None:
    assert answer_to(error) is None
