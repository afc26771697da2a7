"""What we do by a shorter way than Django does comes to the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.serializers import JSONSerializer
from django.http import HttpResponse
from django.test import override_settings

from sessionstore.core.cookies import Cookie
from sessionstore.django import SessionStore, headers

TOKEN = "aZ0-_" * 22 + "."
VARIANTS: list[dict[str, Any]] = [
    {},
    {"NAME": "__Host-sid", "SECURE": True},
    {"DOMAIN": "example.org", "PATH": "/shop/"},
    {"PATH": None},
    {"HTTPONLY": False},
    {"HTTPONLY": None, "SECURE": None},
    {"SAMESITE": "Strict"},
    {"SAMESITE": False},
    {"SAMESITE": None},
]


@pytest.mark.parametrize("max_age", [None, 0, 60])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_cookie_is_the_one_that_django_writes(
    variant: dict[str, Any], max_age: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_700_000_000.9
    monkeypatch.setattr("time.time", lambda: now)
    with override_settings(**{f"SESSION_COOKIE_{name}": on for name, on in variant.items()}):
        name = settings.SESSION_COOKIE_NAME
        djangos = HttpResponse()
        djangos.set_cookie(
            name,
            TOKEN,
            max_age=max_age,
            domain=settings.SESSION_COOKIE_DOMAIN,
            path=settings.SESSION_COOKIE_PATH,
            secure=settings.SESSION_COOKIE_SECURE or False,
            httponly=settings.SESSION_COOKIE_HTTPONLY or False,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )
        for _ in range(2):
            ours = HttpResponse()
            headers.write_cookie(ours, Cookie(TOKEN, max_age))
            assert ours.cookies == djangos.cookies
            assert ours.cookies.output() == djangos.cookies.output()


def test_a_cookie_can_be_changed_afterwards() -> None:
    """As middleware does that gives all cookies an attribute; the next response has none of it."""
    first, second = HttpResponse(), HttpResponse()
    headers.write_cookie(first, Cookie(TOKEN, 60))
    first.cookies["sessionid"]["domain"] = "example.org"
    headers.write_cookie(second, Cookie(TOKEN, 60))
    assert "Domain=example.org" in first.cookies.output()
    assert "Domain" not in second.cookies.output()


def test_a_samesite_that_django_does_not_know_is_an_error() -> None:
    with override_settings(SESSION_COOKIE_SAMESITE="lux"), pytest.raises(ValueError, match="lax"):
        headers.write_cookie(HttpResponse(), Cookie(TOKEN, 60))


def test_a_session_has_whatever_djangos_own_begins_with() -> None:
    ours, djangos = SessionStore(TOKEN), SessionBase(TOKEN)
    for name, value in vars(djangos).items():
        assert getattr(ours, name) == value, name
    assert ours.serializer is JSONSerializer
