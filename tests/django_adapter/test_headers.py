"""The session's cookie on a response is what Django's own ``set_cookie`` writes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import override_settings

from sessionstore.core.cookies import Cookie
from sessionstore.django.headers import vary, write_cookie

TOKEN = "-_09azAZ" + "x" * 103
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as they are": ({}, {}),
    "name": ({"NAME": "__Host-sid"}, {"key": "__Host-sid"}),
    "domain": ({"DOMAIN": "example.org"}, {"domain": "example.org"}),
    "path": ({"PATH": "/shop"}, {"path": "/shop"}),
    "secure": ({"SECURE": True}, {"secure": True}),
    "not httponly": ({"HTTPONLY": False}, {"httponly": False}),
    "strict": ({"SAMESITE": "Strict"}, {"samesite": "Strict"}),
    "no samesite": ({"SAMESITE": False}, {"samesite": False}),
}


@pytest.mark.parametrize("max_age", [None, 0, 3600, 34_560_000])
@pytest.mark.parametrize(("given", "wanted"), SETTINGS.values(), ids=list(SETTINGS))
def test_it_is_djangos_to_the_byte(
    given: dict[str, Any],
    wanted: dict[str, Any],
    max_age: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.75)
    ours, theirs = HttpResponse(), HttpResponse()
    settings = {f"SESSION_COOKIE_{name}": value for name, value in given.items()}
    for _ in range(2):  # the second is made from what was kept of the first
        with override_settings(**settings):
            write_cookie(ours, Cookie(TOKEN, max_age))
    attributes = {"key": "sessionid", "httponly": True, "samesite": "Lax", **wanted}
    theirs.set_cookie(value=TOKEN, max_age=max_age, **attributes)
    assert ours.cookies == theirs.cookies
    assert ours.cookies.output() == theirs.cookies.output()


def test_each_response_has_a_cookie_of_its_own() -> None:
    first, second = HttpResponse(), HttpResponse()
    for response, token in ((first, "1" * 111), (second, "2" * 111)):
        write_cookie(response, Cookie(token, 60))
        response.cookies["sessionid"]["path"] += token[0]
    assert [each.cookies["sessionid"].value[0] for each in (first, second)] == ["1", "2"]
    assert [each.cookies["sessionid"]["path"] for each in (first, second)] == ["/1", "/2"]


def test_a_response_with_its_own_way_to_set_cookies_is_asked() -> None:
    class Audited(HttpResponse):
        def set_cookie(self, key: str, *args: Any, **attributes: Any) -> None:
            super().set_cookie(f"audited-{key}", *args, **attributes)

    response = Audited()
    write_cookie(response, Cookie(TOKEN, 60))
    assert list(response.cookies) == ["audited-sessionid"]


def test_a_samesite_that_does_not_exist_is_refused_each_time() -> None:
    for _ in range(2):
        with (
            override_settings(SESSION_COOKIE_SAMESITE="often"),
            pytest.raises(ValueError, match="samesite"),
        ):
            write_cookie(HttpResponse(), Cookie(TOKEN, 60))


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, "Cookie"), ("Accept", "Accept, Cookie"), ("cookie", "cookie"), ("*", "*")],
)
def test_vary_is_joined(before: str | None, after: str) -> None:
    response = HttpResponse()
    if before is not None:
        response.headers["Vary"] = before
    vary(response)
    assert response.headers["Vary"] == after
