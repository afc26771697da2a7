"""Every SESSION_COOKIE_* setting, on set and on delete; Vary and Cache-Control."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response

from sessionstore import ConfigurationError
from sessionstore.flask import SessionStore
from tests.flask_adapter.support import Action, World, cookie_of, deletes_cookie

SETTINGS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "httponly": ({}, "httponly", True),
    "not httponly": ({"SESSION_COOKIE_HTTPONLY": False}, "httponly", ""),
    "secure": ({"SESSION_COOKIE_SECURE": True}, "secure", True),
    "not secure": ({}, "secure", ""),
    "lax": ({}, "samesite", "Lax"),
    "strict": ({"SESSION_COOKIE_SAMESITE": "Strict"}, "samesite", "Strict"),
    "none": (
        {"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": True},
        "samesite",
        "None",
    ),
    "no samesite": ({"SESSION_COOKIE_SAMESITE": ""}, "samesite", ""),
    "domain": ({"SESSION_COOKIE_DOMAIN": "localhost"}, "domain", "localhost"),
    "host only": ({}, "domain", ""),
    "path": ({}, "path", "/"),
    "application root": ({"APPLICATION_ROOT": "/shop"}, "path", "/shop"),
    "own path": (
        {"SESSION_COOKIE_PATH": "/all", "APPLICATION_ROOT": "/shop"},
        "path",
        "/all",
    ),
}


@pytest.mark.parametrize(("config", "attribute", "value"), SETTINGS.values(), ids=list(SETTINGS))
def test_an_attribute_is_the_same_when_set_and_when_deleted(
    config: dict[str, Any], attribute: str, value: Any
) -> None:
    world = World(**config)
    was_set = world.get(lambda session: session.update(a=1))
    assert cookie_of(was_set)[attribute] == value
    client = world.app.test_client()
    client.set_cookie("session", cookie_of(was_set).value)
    deleted = world.get(lambda session: session.clear(), client=client)
    assert deletes_cookie(deleted)
    assert cookie_of(deleted)[attribute] == value


def test_partitioned_when_set_and_when_deleted() -> None:
    world = World(SESSION_COOKIE_PARTITIONED=True)
    for action in (lambda session: session.update(a=1), lambda session: session.logout()):
        [header] = world.get(action).headers.getlist("Set-Cookie")
        assert "; Partitioned" in header
        assert "; Secure" in header  # browsers want both


def test_the_cookies_name() -> None:
    world = World(SESSION_COOKIE_NAME="__Host-sid", SESSION_COOKIE_SECURE=True)
    response = world.get(lambda session: session.update(a=1))
    [header] = response.headers.getlist("Set-Cookie")
    assert header.startswith("__Host-sid=")
    world.client.set_cookie("__Host-sid", header.partition("=")[2].partition(";")[0])
    assert world.read("a") == 1


@pytest.mark.parametrize(
    "config",
    [
        {"SESSION_COOKIE_NAME": "__Host-sid"},
        {
            "SESSION_COOKIE_NAME": "__Host-sid",
            "SESSION_COOKIE_SECURE": True,
            "SESSION_COOKIE_PATH": "/a",
        },
        {
            "SESSION_COOKIE_NAME": "__Host-sid",
            "SESSION_COOKIE_SECURE": True,
            "SESSION_COOKIE_DOMAIN": "example.org",
        },
        {"SESSION_COOKIE_NAME": "__secure-sid"},
        {"SESSION_COOKIE_NAME": "a b"},
        {"SESSION_COOKIE_SAMESITE": "None"},
        {"SESSION_COOKIE_SAMESITE": "lux"},
    ],
)
def test_what_a_browser_would_drop_is_refused_at_start_up(config: dict[str, Any]) -> None:
    app = Flask("shop")
    app.config.update(SECRET_KEY="k" * 32, SESSIONSTORE_URL="memory://", **config)
    with pytest.raises(ConfigurationError):
        SessionStore(app)


USES: dict[str, Action] = {
    "get": lambda session: session.get("a"),
    "contains": lambda session: "a" in session,
    "len": len,
    "bool": bool,
    "iterate": list,
    "permanent": lambda session: session.permanent,
    "new": lambda session: session.new,
    "subject": lambda session: session.subject,
    "pop nothing": lambda session: session.pop("b", None),
    "set": lambda session: session.update(a=2),
    "become permanent": lambda session: setattr(session, "permanent", True),
    "rotate": lambda session: session.rotate(),
    "login": lambda session: session.login("ann"),
    "clear": lambda session: session.clear(),
    "pop all": lambda session: session.pop("a"),
    "logout": lambda session: session.logout(),
}


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_every_use_varies_by_cookie(use: Action) -> None:
    world = World()
    world.get(lambda session: session.update(a=1))
    response = world.get(use)
    assert response.headers.getlist("Vary") == ["Cookie"]
    has_cookie = "Set-Cookie" in response.headers
    assert response.headers.get("Cache-Control") == ("no-store" if has_cookie else None)


def test_what_the_app_itself_says_stays() -> None:
    world = World()

    def action(session: object) -> Response:
        session["a"] = 1  # type: ignore[index]
        response = Response("done")
        response.headers["Cache-Control"] = "private, max-age=60"
        response.headers.add("Vary", "Accept")
        response.headers.add("Vary", "Origin")
        return response

    response = world.get(action)
    assert response.headers["Cache-Control"] == "private, max-age=60"
    assert response.headers["Vary"] == "Accept, Origin, Cookie"


@pytest.mark.parametrize("first", [True, False])
def test_among_duplicates_the_valid_one_is_found(first: bool) -> None:
    """Werkzeug knows the first only: a cookie planted by a sibling domain would log users out."""
    world = World()
    world.get(lambda session: session.update(a=1))
    mine, junk = f"session={world.token}", "session=junk"
    header = f"{mine}; {junk}" if first else f"{junk}; {mine}"
    found: list[object] = []
    client = world.app.test_client(use_cookies=False)
    world.get(
        lambda session: found.append(session.get("a")), client=client, headers={"Cookie": header}
    )
    assert found == [1]


def test_of_two_valid_ones_the_newest_counts_and_it_is_reported() -> None:
    world = World()
    world.get(lambda session: session.update(a="old"))
    old = world.token
    world.client.delete_cookie("session")
    world.clock.advance(5)
    world.get(lambda session: session.update(a="new"))
    found: list[object] = []
    world.get(
        lambda session: found.append(session.get("a")),
        client=world.app.test_client(use_cookies=False),
        headers={"Cookie": f"session={world.token}; session={old}"},
    )
    assert found == ["new"]
    assert "ambiguous_cookie" in world.reports


def test_a_foreign_cookie_of_a_visitor_is_left_alone() -> None:
    world = World()
    world.client.set_cookie("session", "eyJhIjoxfQ.of.another-library")
    assert not world.get(lambda session: session.clear()).headers.getlist("Set-Cookie")
