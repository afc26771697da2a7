"""SESSIONSTORE, the environment, SECRET_KEY: what counts, and what is refused at start-up."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

import sessionstore.django
from sessionstore import ConfigurationError, MemoryStore, WeakSecretWarning
from sessionstore.django import SessionStore, configuration
from sessionstore.django.configuration import get_manager
from sessionstore.settings import (
    FALLBACKS_VARIABLE,
    SECRET_VARIABLE,
    URL_VARIABLE,
    Managers,
)
from tests.django_adapter.conftest import OURS, STOCK, RecordingStore
from tests.support.django_project import SECRET

KEY = "k" * 32


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL_VARIABLE, SECRET_VARIABLE, FALLBACKS_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def with_options(store: Any, **options: Any) -> Any:
    return override_settings(SESSIONSTORE={"STORE": store, **options})


def test_the_cores_settings_in_upper_case(store: RecordingStore) -> None:
    with with_options(
        store, ABSOLUTE_TIMEOUT=77, MAX_SIZE=1000, ENCRYPTION_KEYS=[KEY], COMPRESSION="none"
    ):
        config = get_manager().config
    assert (config.absolute_timeout, config.max_size, config.compression) == (77, 1000, "none")
    assert config.encryption == (KEY.encode(),)
    assert config.subject_key == "_auth_user_id"
    assert config.keep_empty
    assert not config.touch_on_read


def test_a_manager_is_made_only_when_settings_change(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its own, because those that other tests had made are forgotten all at once when too many.
    monkeypatch.setattr(configuration, "managers", Managers())
    monkeypatch.setattr(configuration, "_latest", None)
    manager = get_manager()
    assert get_manager() is manager
    with override_settings(SESSION_COOKIE_AGE=5):
        assert get_manager() is not manager
        assert get_manager().config.idle_timeout == 5
    with override_settings(SECRET_KEY=KEY, SECRET_KEY_FALLBACKS=[SECRET]):
        assert get_manager().config.keys == (KEY.encode(), SECRET.encode())
    assert get_manager() is manager
    with with_options(store, SECRET_KEY=KEY, SECRET_KEY_FALLBACKS=[]):
        assert get_manager().config.keys == (KEY.encode(),)
        settings.SESSIONSTORE["SECRET_KEY_FALLBACKS"].append(SECRET)
        assert get_manager().config.keys == (KEY.encode(), SECRET.encode())


def test_where_the_key_comes_from(store: RecordingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_manager().config.keys == (SECRET.encode(),)
    with override_settings(SECRET_KEY_FALLBACKS=["f" * 32]):
        monkeypatch.setenv("SESSIONSTORE_SECRET_KEY", "e" * 32)
        assert get_manager().config.keys == (b"e" * 32,)  # no fallbacks of another source
        monkeypatch.setenv("SESSIONSTORE_SECRET_KEY_FALLBACKS", "g" * 32)
        assert get_manager().config.keys == (b"e" * 32, b"g" * 32)
        with with_options(store, SECRET_KEY="x" * 32, SECRET_KEY_FALLBACKS=["y" * 32]):
            assert get_manager().config.keys == (b"x" * 32, b"y" * 32)
    with override_settings(SECRET_KEY=""):
        assert get_manager().config.keys == (b"e" * 32, b"g" * 32)


def test_where_the_url_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(SESSIONSTORE={"URL": "memory://?prefix=explicit"}):
        monkeypatch.setenv("SESSIONSTORE_URL", "memory://?prefix=environment")
        assert get_manager().store.prefix == "explicit"
    with override_settings(SESSIONSTORE={}):
        assert get_manager().store.prefix == "environment"
        assert get_manager().store is get_manager().store


WRONG = {
    "no URL": ({}, "SESSIONSTORE_URL"),
    "unknown name": ({"URL": "memory://", "IDEL_TIMEOUT": 1}, "IDEL_TIMEOUT"),
    "lower case": ({"url": "memory://"}, "unknown name 'url'"),
    "Django's": ({"URL": "memory://", "IDLE_TIMEOUT": 1}, "SESSION_COOKIE_AGE"),
    "Django's browser": (
        {"URL": "memory://", "BROWSER_SESSION": True},
        "SESSION_EXPIRE_AT_BROWSER_CLOSE",
    ),
    "Django's touch": ({"URL": "memory://", "TOUCH_ON_READ": True}, "SESSION_SAVE_EVERY_REQUEST"),
    "scheme": ({"URL": "redsi://h"}, "redsi"),
    "option": ({"URL": "memory://?timeuot=1"}, "timeuot"),
    "value": ({"URL": "memory://", "MAX_SIZE": 0}, "max_size"),
    "empty key": ({"URL": "memory://", "ENCRYPTION_KEYS": [""]}, "encryption_keys"),
    "lone fallbacks": ({"URL": "memory://", "SECRET_KEY_FALLBACKS": [KEY]}, "no SECRET_KEY"),
    "two stores": ({"URL": "memory://", "STORE": MemoryStore()}, "STORE"),
    "no store": ({"STORE": "memory://"}, "STORE"),
    "no dictionary": ("memory://", "dictionary"),
}


@pytest.mark.parametrize("middleware", [OURS, STOCK], ids=["ours", "stock"])
@pytest.mark.parametrize(("options", "named"), WRONG.values(), ids=list(WRONG))
def test_wrong_settings_keep_the_server_from_starting(
    middleware: str, options: Any, named: str
) -> None:
    with override_settings(SESSIONSTORE=options, MIDDLEWARE=[middleware]):
        with pytest.raises(ImproperlyConfigured, match=named) as caught:
            WSGIHandler()
        assert isinstance(caught.value, ConfigurationError)
        assert [error.id for error in run_checks()] == ["sessionstore.E001"]


COOKIES = {
    "host": {"SESSION_COOKIE_NAME": "__Host-sid"},
    "host, path": {
        "SESSION_COOKIE_NAME": "__Host-sid",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_PATH": "/shop",
    },
    "host, domain": {
        "SESSION_COOKIE_NAME": "__Host-sid",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_DOMAIN": "example.org",
    },
    "secure": {"SESSION_COOKIE_NAME": "__Secure-sid"},
    "name": {"SESSION_COOKIE_NAME": "a b"},
    "same site": {"SESSION_COOKIE_SAMESITE": "None"},
    "partitioned": {"SESSION_COOKIE_PARTITIONED": True},
}


@pytest.mark.parametrize("middleware", [OURS, STOCK], ids=["ours", "stock"])
@pytest.mark.parametrize("settings", COOKIES.values(), ids=list(COOKIES))
def test_cookies_that_a_browser_drops_keep_it_from_starting(
    middleware: str, settings: dict[str, Any]
) -> None:
    with override_settings(MIDDLEWARE=[middleware], **settings):
        with pytest.raises(ImproperlyConfigured):
            WSGIHandler()
        assert [error.id for error in run_checks()] == ["sessionstore.E001"]


def test_an_empty_secret_is_an_error(store: RecordingStore) -> None:
    with (
        override_settings(SECRET_KEY="", MIDDLEWARE=[OURS]),
        pytest.raises(ImproperlyConfigured, match="secret_key"),
    ):
        WSGIHandler()


def test_a_weak_secret_is_warned_of(store: RecordingStore) -> None:
    with override_settings(SECRET_KEY="only 19 bytes long!"):
        with pytest.warns(WeakSecretWarning):
            get_manager()
        SessionStore()._opened()  # and not again for each request


def test_our_middleware_needs_our_engine() -> None:
    engine = "django.contrib.sessions.backends.signed_cookies"
    with override_settings(SESSION_ENGINE=engine, MIDDLEWARE=[OURS]):
        with pytest.raises(ImproperlyConfigured, match="SESSION_ENGINE"):
            WSGIHandler()
        assert run_checks() == []


def test_right_settings_pass_the_checks(store: RecordingStore) -> None:
    with override_settings(MIDDLEWARE=[OURS]):
        assert run_checks() == []
    with override_settings(MIDDLEWARE=[STOCK]):
        assert run_checks() == []


def test_a_cookie_age_above_the_assurance_level_is_refused(store: RecordingStore) -> None:
    with with_options(store, ASSURANCE="aal2"), override_settings(SESSION_COOKIE_AGE=3601):
        [error] = run_checks()
    assert error.id == "sessionstore.E001"
    assert "SESSION_COOKIE_AGE=3601.0: aal2 has at most 3600 seconds" in error.msg


@pytest.mark.parametrize(("set_here", "counts"), [({}, 900), ({"SESSION_COOKIE_AGE": 600}, 600)])
def test_djangos_own_age_gives_way_to_the_assurance_level_and_a_shorter_one_counts(
    store: RecordingStore, set_here: dict[str, Any], counts: int
) -> None:
    with with_options(store, ASSURANCE="aal3"), override_settings(**set_here):
        assert get_manager().config.idle_timeout == counts
        assert SessionStore().get_session_cookie_age() == counts
        assert SessionStore().get_expiry_age() == counts


def test_a_short_idle_timeout_by_which_readers_would_be_logged_out_is_a_warning(
    store: RecordingStore,
) -> None:
    with with_options(store, ASSURANCE="aal2"):
        assert [warning.id for warning in run_checks()] == ["sessionstore.W001"]
        with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
            assert run_checks() == []
    with with_options(store, ASSURANCE="aal1"):
        assert run_checks() == []


def test_serving_anonymously_needs_our_middleware(store: RecordingStore) -> None:
    plain = "tests.django_adapter.test_middleware.reads_the_session"
    with with_options(store, ON_UNAVAILABLE="anonymous"):
        with override_settings(MIDDLEWARE=[plain, STOCK]):
            assert [error.id for error in run_checks()] == ["sessionstore.E002"]
        with override_settings(MIDDLEWARE=[plain, OURS]):
            assert run_checks() == []


def test_the_package_has_no_other_names() -> None:
    assert sessionstore.django.SessionMiddleware.__name__ == "SessionMiddleware"
    with pytest.raises(AttributeError):
        sessionstore.django.Session  # noqa: B018


def test_it_can_be_imported_before_there_are_settings() -> None:
    """By documentation builders, type checkers' plugins, and an app's own engine module."""
    program = """
        from sessionstore.django import SessionMiddleware, SessionStore
        import sessionstore.django.apps
        class Own(SessionStore): ...
    """
    subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)], check=True, timeout=60
    )
