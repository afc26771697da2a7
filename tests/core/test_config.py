"""Settings are checked once, at start-up, and a message says what to do."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import pytest

from sessionstore.core import expiry
from sessionstore.core.config import DAY, SessionConfig
from sessionstore.core.errors import ConfigurationError, WeakSecretWarning
from sessionstore.core.merge import merge_appended

KEY = "a secret key of 32 bytes, or more"
OLD = b"the key before it, also 32 bytes."


def config(**settings: Any) -> SessionConfig:
    return SessionConfig(**{"secret_key": KEY, **settings})


# -- secrets --


@pytest.mark.parametrize("secret", ["", b"", None, 0, 17, ["a list"]], ids=repr)
def test_a_missing_or_empty_secret_is_an_error(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"secret_key is missing or empty.*new-key"):
        config(secret_key=secret)


def test_a_secret_is_required() -> None:
    with pytest.raises(TypeError):
        SessionConfig()  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["secret_key_fallbacks", "encryption_keys"])
@pytest.mark.parametrize("keys", [[""], [KEY, None], [b""]])
def test_an_empty_key_in_a_list_is_an_error(name: str, keys: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is missing or empty"):
        config(**{name: keys})


@pytest.mark.parametrize("name", ["secret_key_fallbacks", "encryption_keys"])
@pytest.mark.parametrize("one", [KEY, OLD])
def test_one_key_in_place_of_a_list_is_an_error(name: str, one: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: give a list of keys"):
        config(**{name: one})


def test_keys_are_bytes_newest_first() -> None:
    made = config(secret_key_fallbacks=[OLD, KEY + "2"], encryption_keys=(KEY + "3",))
    assert made.keys == (KEY.encode(), OLD, KEY.encode() + b"2")
    assert made.encryption == (KEY.encode() + b"3",)
    assert config().keys == (KEY.encode(),)
    assert config().encryption == ()


def test_a_secret_under_32_bytes_is_a_warning_once() -> None:
    weak = "under 32 bytes, only used here"
    with pytest.warns(WeakSecretWarning, match=r"secret_key has 30 bytes; use at least 32"):
        config(secret_key=weak)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config(secret_key=weak)


def test_where_warnings_are_errors_a_weak_secret_is_one_each_time() -> None:
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(WeakSecretWarning):
                config(secret_key="weak, and an error")


@pytest.mark.parametrize("name", ["secret_key_fallbacks", "encryption_keys"])
def test_other_weak_keys_are_named(name: str) -> None:
    with pytest.warns(WeakSecretWarning, match=f"{name} has"):
        config(**{name: [f"weak {name}"]})


def test_32_bytes_are_enough_however_they_are_written() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config(secret_key="x" * 32)
        config(secret_key=b"x" * 32)
        config(secret_key="\u00e9" * 16)


def test_no_secret_is_in_the_repr() -> None:
    shown = repr(config(secret_key_fallbacks=[OLD], encryption_keys=[OLD]))
    for secret in (KEY, OLD.decode()):
        assert secret not in shown


# -- numbers --

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("absolute_timeout", 0),
        ("absolute_timeout", -1),
        ("absolute_timeout", NAN),
        ("touch_interval", 0),
        ("touch_interval", NAN),
        ("rotation_grace", -1),
        ("rotation_grace", NAN),
        ("rotation_grace", INFINITY),
        ("clock_skew", -1),
        ("clock_skew", NAN),
        ("compress_over", -1),
        ("max_size", 0),
        ("max_size", -1),
        ("idle_timeout", NAN),
    ],
)
def test_a_number_that_cannot_work_is_an_error_naming_it(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}"):
        config(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("idle_timeout", 0),  # Starlette's max_age=0: the cookie is sent, nothing is kept
        ("idle_timeout", -1),
        ("idle_timeout", INFINITY),
        ("absolute_timeout", INFINITY),
        ("rotation_grace", 0),
        ("clock_skew", 0),
        ("compress_over", 0),
        ("touch_interval", 0.5),
    ],
)
def test_numbers_at_the_edge_work(name: str, value: float) -> None:
    assert getattr(config(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("settings", "idle", "absolute"),
    [
        ({}, 14 * DAY, 30 * DAY),
        ({}, 60, 30 * DAY),
        ({}, 90 * DAY, 90 * DAY),
        ({}, INFINITY, expiry.MAX_LIFETIME),
        ({}, -5, 30 * DAY),
        ({"absolute_timeout": 3600}, 60, 3600),
        ({"absolute_timeout": 3600}, 90 * DAY, 3600),
        ({"absolute_timeout": INFINITY}, 60, expiry.MAX_LIFETIME),
    ],
)
def test_the_absolute_timeout_is_30_days_or_the_idle_one_where_that_is_longer(
    settings: dict[str, Any], idle: float, absolute: float
) -> None:
    assert config(**settings).absolute_for(idle) == absolute


# -- the rest --


@pytest.mark.parametrize("value", ["ignore", None, "", True])
def test_what_happens_when_the_store_is_down_has_two_answers(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="use 'error' or 'anonymous'"):
        config(on_unavailable=value)


def test_one_name_in_place_of_a_list_of_identity_keys_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="identity_keys: give a list of names"):
        config(identity_keys="user_id")


def test_identity_keys_default_to_djangos_and_flask_logins() -> None:
    keys = tuple(config().identity_keys)
    assert {"_auth_user_id", "_auth_user_backend", "_auth_user_hash"} < set(keys)
    assert {"_user_id", "_fresh", "_id"} < set(keys)


def test_merge_functions_may_be_a_mapping_or_pairs_and_flashes_are_appended() -> None:
    def union(base: Any, theirs: Any, ours: Any) -> Any:
        return theirs | ours

    expected = {"_flashes": merge_appended, "cart": union}
    assert config(merge={"cart": union}).merge_functions == expected
    assert config(merge=[("cart", union)]).merge_functions == expected
    assert config(merge={"_flashes": union}).merge_functions == {"_flashes": union}
    assert config().merge_functions == {"_flashes": merge_appended}


def test_equal_settings_are_equal_and_hash_alike_so_that_managers_can_be_cached() -> None:
    one = config(secret_key_fallbacks=[OLD], merge={"a": max}, identity_keys=["x"])
    two = config(secret_key_fallbacks=(OLD,), merge=[("a", max)], identity_keys=("x",))
    assert one == two
    assert hash(one) == hash(two)
    assert config() != config(secret_key_fallbacks=[OLD])
    assert config(secret_key=KEY) == config(secret_key=KEY.encode())


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().max_size = 1  # type: ignore[misc]
