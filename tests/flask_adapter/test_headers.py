"""The headers that we write by a shorter way are those that Werkzeug writes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Response

from sessionstore.core.cookies import Cookie
from sessionstore.flask import headers

TOKEN = "aZ0-_" * 22 + "."
PLAIN: dict[str, Any] = {
    "domain": None,
    "path": "/",
    "secure": False,
    "httponly": True,
    "samesite": "Lax",
    "partitioned": False,
}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"domain": ".example.org"},
    {"domain": "bücher.example"},
    {"path": "/shop/ü?;"},
    {"secure": True},
    {"httponly": False},
    {"samesite": "strict"},
    {"samesite": None},
    {"partitioned": True},
]


def set_cookie(max_age: int | None, **attributes: Any) -> str:
    response = Response()
    written = headers.CookieAttributes(**attributes)
    headers.write_cookie(response, "sid", Cookie(TOKEN, max_age), written)
    [header] = response.headers.getlist("Set-Cookie")
    return header


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_cookie_is_the_one_that_werkzeug_writes(variant: dict[str, Any]) -> None:
    attributes = {**PLAIN, **variant}
    werkzeugs = Response()
    werkzeugs.set_cookie("sid", TOKEN, **attributes)
    for _ in range(2):
        assert [set_cookie(None, **attributes)] == werkzeugs.headers.getlist("Set-Cookie")


def test_an_expiry_is_the_one_that_werkzeug_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (1_700_000_000.9, 1_700_000_000.95, 1_700_000_001.0):
        monkeypatch.setattr(headers, "time", SimpleNamespace(time=lambda now=now: now))
        werkzeugs = Response()
        werkzeugs.set_cookie("sid", TOKEN, max_age=60, expires=now + 60, **PLAIN)
        assert [set_cookie(60, **PLAIN)] == werkzeugs.headers.getlist("Set-Cookie")
