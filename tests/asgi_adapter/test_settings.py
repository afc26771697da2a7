"""What the middleware is made with, and what it refuses at start-up."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Secret

from sessionstore import ConfigurationError, MemoryStore, WeakSecretWarning
from sessionstore.asgi import SessionMiddleware
from tests.asgi_adapter.support import KEY, Site

OLD_KEY = "the secret before it, of 32 bytes or more"


DAY = 86400


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


class SecretStr:
    """As pydantic's: its text is not the secret."""

    def __init__(self, value: str | bytes) -> None:
        self._value = value

    def __str__(self) -> str:
        return "**********"

    def get_secret_value(self) -> str | bytes:
        return self._value


class Hidden:
    """Hides its value, and has no way that we know to get at it."""

    def __str__(self) -> str:
        return "**********"


@pytest.mark.parametrize(
    "secret",
    [KEY.encode(), Secret(KEY), SecretStr(KEY), SecretStr(KEY.encode())],
    ids=["bytes", "Secret", "SecretStr", "SecretBytes"],
)
async def test_all_kinds_of_secret_are_the_same_secret(secret: object) -> None:
    site = Site(secret_key=secret)
    token = (await site.get(lambda session: session.update(a=1))).token

    assert Site(store=site.store.store).stored(token) == {"a": 1}


@pytest.mark.parametrize(
    "secret",
    [None, "", b"", Secret(""), SecretStr(""), Hidden()],
    ids=["None", "text", "bytes", "Secret", "SecretStr", "hidden"],
)
def test_without_a_secret_it_does_not_start(
    secret: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SESSIONSTORE_SECRET_KEY", raising=False)

    with pytest.raises(ConfigurationError, match="secret_key is"):
        SessionMiddleware(nothing, secret, store=MemoryStore())


async def test_the_secret_and_the_url_may_be_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SESSIONSTORE_SECRET_KEY", KEY)
    monkeypatch.setenv("SESSIONSTORE_URL", "memory://?prefix=mine")

    middleware = SessionMiddleware(nothing)

    assert middleware.manager.config.secret_key == KEY.encode()
    assert middleware.manager.store.prefix == "mine"


def test_what_is_given_counts_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSTORE_SECRET_KEY", "the environment's own secret, 32 bytes or more")
    monkeypatch.setenv("SESSIONSTORE_URL", "memory://?prefix=theirs")

    middleware = SessionMiddleware(
        nothing, KEY, url="memory://?prefix=mine", secret_key_fallbacks=[Secret(OLD_KEY)]
    )

    assert middleware.manager.config.keys == (KEY.encode(), OLD_KEY.encode())
    assert middleware.manager.store.prefix == "mine"


def test_fallbacks_come_only_with_their_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSTORE_SECRET_KEY", KEY)

    middleware = SessionMiddleware(nothing, store=MemoryStore(), secret_key_fallbacks=[OLD_KEY])

    assert middleware.manager.config.keys == (KEY.encode(),)


async def test_a_session_under_a_retired_key_is_signed_anew() -> None:
    before = Site(secret_key=OLD_KEY)
    token = await before.begin(a=1)
    site = Site(secret_key_fallbacks=[OLD_KEY], store=before.store.store, clock=before.clock)

    reply = await site.get(lambda session: session.update(b=2), token)

    assert reply.token != token
    assert Site(store=before.store.store).stored(reply.token) == {"a": 1, "b": 2}


def test_without_a_store_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSIONSTORE_URL", raising=False)

    with pytest.raises(ConfigurationError, match="SESSIONSTORE_URL"):
        SessionMiddleware(nothing, KEY)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"url": "memory://", "store": MemoryStore()}, "not both"),
        ({"url": "gopher://"}, "gopher"),
        ({"url": "memory://?timeuot=1"}, "timeuot"),
        ({"store": MemoryStore(), "load": "lazy"}, "'auto' or 'manual'"),
        ({"store": MemoryStore(), "on_unavailable": "empty"}, "on_unavailable"),
        ({"store": MemoryStore(), "secret_key_fallbacks": [""]}, "secret_key_fallbacks"),
        ({"store": MemoryStore(), "secret_key_fallbacks": [None]}, "secret_key_fallbacks"),
        ({"store": MemoryStore(), "secret_key_fallbacks": OLD_KEY}, "a list of keys"),
        ({"store": MemoryStore(), "encryption_keys": OLD_KEY}, "a list of keys"),
    ],
)
def test_wrong_settings_are_refused_at_start_up(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        SessionMiddleware(nothing, KEY, **settings)


def test_unknown_settings_are_refused_at_start_up() -> None:
    with pytest.raises(TypeError, match="absolut_timeout"):
        SessionMiddleware(nothing, KEY, store=MemoryStore(), absolut_timeout=1)  # type: ignore[call-arg]


def test_a_short_secret_is_warned_about() -> None:
    with pytest.warns(WeakSecretWarning, match="9 bytes"):
        SessionMiddleware(nothing, "too short", store=MemoryStore())


def test_the_cores_settings_arrive() -> None:
    config = Site(absolute_timeout=7, max_size=9, merge={"a": max}, max_age=5).app.manager.config

    assert (config.absolute_timeout, config.max_size, config.idle_timeout) == (7, 9, 5)
    assert dict(config.merge)["a"] is max


@pytest.mark.parametrize(
    ("given", "idle"), [({}, 3600), ({"max_age": 600}, 600), ({"max_age": None}, 3600)]
)
def test_the_default_age_gives_way_to_the_assurance_level_and_a_shorter_one_counts(
    given: dict[str, Any], idle: float
) -> None:
    config = Site(assurance="aal2", **given).app.manager.config
    assert config.idle_timeout == idle
    assert config.absolute_for(idle) == DAY


def test_an_age_above_the_assurance_level_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_age=3601: aal2 has at most 3600 seconds"):
        Site(assurance="aal2", max_age=3601)
