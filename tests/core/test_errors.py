"""One tree of errors; each says what to do, carries what a handler needs, and leaks nothing."""

from __future__ import annotations

import pytest

from sessionstore.core import errors


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (errors.ConfigurationError("x"), (errors.SessionError, ValueError)),
        (errors.MissingExtra("x", "y"), (errors.ConfigurationError, ImportError)),
        (errors.CodecError("x"), (errors.SessionError, ValueError)),
        (errors.UnstorableValue("x", "y"), (errors.CodecError, TypeError)),
        (errors.RecordUnreadable("key"), (errors.SessionError,)),
        (errors.SessionTooLarge(2, 1, ()), (errors.SessionError,)),
        (errors.SessionGone("h", "y"), (errors.SessionError,)),
        (errors.HeadersAlreadySent("x"), (errors.SessionError,)),
        (errors.NotLoaded(), (errors.SessionError,)),
        (errors.StoreUnavailable("x"), (errors.StoreError, errors.SessionError)),
        (errors.DeadlineExceeded("x"), (errors.StoreUnavailable,)),
        (errors.StoreRefused("x"), (errors.StoreError,)),
        (errors.StoreFull("x"), (errors.StoreError,)),
        (errors.OutcomeUnknown("x"), (errors.StoreError,)),
        (errors.ConflictUnresolved("x"), (errors.StoreError,)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_tree(error: Exception, parents: tuple[type, ...]) -> None:
    assert isinstance(error, parents)


def test_outcomes_that_are_not_unavailability_are_not_mistaken_for_it() -> None:
    for kind in (errors.StoreRefused, errors.StoreFull, errors.OutcomeUnknown):
        assert not issubclass(kind, errors.StoreUnavailable)


def test_a_missing_extra_says_what_to_install() -> None:
    error = errors.MissingExtra("encryption_keys", "encryption")
    assert "pip install 'sessionstore[encryption]'" in str(error)
    assert error.extra == "encryption"


def test_a_store_error_names_its_node() -> None:
    error = errors.StoreUnavailable("connection refused", node="db1:6379")
    assert str(error) == "connection refused (db1:6379)"
    assert error.node == "db1:6379"
    assert errors.StoreUnavailable("connection refused").node is None


def test_too_large_names_the_largest_attributes() -> None:
    error = errors.SessionTooLarge(3000, 2000, (("cart", 2500), ("name", 400)))
    assert str(error) == (
        "session of 3000 B exceeds the limit of 2000 B; largest: 'cart' (2500 B), 'name' (400 B)"
    )
    assert (error.size, error.limit, error.largest[0]) == (3000, 2000, ("cart", 2500))


def test_the_other_errors_carry_what_their_handlers_need() -> None:
    assert errors.UnstorableValue("cart.items[3].price", "why").path == "cart.items[3].price"
    assert errors.RecordUnreadable("key").reason == "key"
    assert errors.SessionGone("a-handle", "why").handle == "a-handle"
    assert "await session.load()" in str(errors.NotLoaded())
