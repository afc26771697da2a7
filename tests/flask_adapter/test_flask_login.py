"""Flask-Login: its attributes drive the subject and the rotation, without a line in the app."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import flask_login
import pytest
from flask.testing import FlaskClient

from sessionstore.core.cookies import find_values
from sessionstore.flask import session
from tests.flask_adapter.support import World, deletes_cookie


class User(flask_login.UserMixin):  # type: ignore[misc]  # has no types
    def __init__(self, user_id: str) -> None:
        self.id = user_id


@pytest.fixture(autouse=True)
def _flask_logins_own_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*utcnow", category=DeprecationWarning)
        yield


@pytest.fixture
def world() -> World:
    world = World(REMEMBER_COOKIE_NAME="remember")
    manager = flask_login.LoginManager(world.app)
    manager.user_loader(User)
    app = world.app

    @app.get("/login/<user_id>")
    def login(user_id: str) -> str:
        flask_login.login_user(User(user_id))
        return "in"

    @app.get("/remember/<user_id>")
    def remember(user_id: str) -> str:
        flask_login.login_user(User(user_id), remember=True)
        return "in"

    @app.get("/confirm")
    def confirm() -> str:
        flask_login.confirm_login()
        return "fresh"

    @app.get("/logout")
    def logout() -> str:
        flask_login.logout_user()
        return "out"

    @app.get("/who")
    def who() -> dict[str, Any]:
        user = flask_login.current_user
        fresh = user.is_authenticated and flask_login.login_fresh()
        return {"id": user.get_id(), "subject": session.subject, "fresh": fresh}

    @app.get("/fresh")
    @flask_login.fresh_login_required
    def fresh() -> str:
        return "fresh"

    return world


def who(world: World, client: FlaskClient | None = None) -> Any:
    return (client or world.client).get("/who").json


def send(world: World, path: str) -> Any:
    world.store.forget()
    return world.client.get(path)


def test_a_login_sets_the_subject_and_rotates(world: World) -> None:
    world.get(lambda session: session.update(cart=[1]))
    before, thief = world.token, world.other()
    send(world, "/login/7")
    assert world.store.verbs == ["load", "replace"]
    assert world.token is not None
    assert before is not None
    assert world.token != before
    assert world.token[:16] == before[:16]
    assert world.stored.subject == "7"
    assert who(world) == {"id": "7", "subject": "7", "fresh": True}
    assert world.read("cart") == [1]
    assert who(world, thief) == {"id": None, "subject": None, "fresh": False}


def test_a_first_login_begins_a_session(world: World) -> None:
    send(world, "/login/7")
    assert world.store.verbs == ["create"]
    assert who(world)["id"] == "7"


@pytest.mark.parametrize("path", ["/login/7", "/confirm"])
def test_the_same_user_again_is_a_re_authentication(world: World, path: str) -> None:
    """ASVS 7.2.4: a new token at re-authentication as well, the old one dead."""
    send(world, "/login/7")
    before, thief = world.token, world.other()
    first = world.stored.authenticated
    world.clock.advance(100)
    send(world, path)
    assert world.token != before
    assert world.stored.authenticated == (first or 0) + 100
    assert who(world)["id"] == "7"
    assert who(world, thief)["id"] is None


def test_a_login_that_becomes_stale_is_no_authentication(world: World) -> None:
    """Flask-Login's basic protection: another address or browser."""
    send(world, "/login/7")
    authenticated = world.stored.authenticated
    world.clock.advance(100)
    before = world.token
    found = world.client.get("/who", headers={"User-Agent": "another"}).json
    assert found == {"id": "7", "subject": "7", "fresh": False}
    assert world.token == before
    assert world.stored.authenticated == authenticated


def test_another_user_gets_nothing_of_the_one_before(world: World) -> None:
    send(world, "/login/7")
    world.get(lambda session: session.update(secret="of 7"))
    send(world, "/login/8")
    assert who(world) == {"id": "8", "subject": "8", "fresh": True}
    assert world.read("secret") is None


def test_a_logout_that_leaves_nothing_ends_the_session(world: World) -> None:
    send(world, "/login/7")
    response = send(world, "/logout")
    assert world.store.verbs == ["load", "delete"]
    assert deletes_cookie(response)
    assert world.size == 0
    assert who(world)["id"] is None


def test_a_logout_that_leaves_something_removes_the_subject_and_rotates(world: World) -> None:
    world.get(lambda session: session.update(cart=[1]))
    send(world, "/login/7")
    before, tab = world.token, world.other()
    send(world, "/logout")
    assert world.token != before
    assert world.stored.subject is None
    assert set(world.stored.attributes) == {"cart"}
    assert who(world)["id"] is None
    assert who(world, tab)["id"] is None


def test_a_remembered_user_comes_back_in_a_new_session_and_not_fresh(world: World) -> None:
    send(world, "/remember/7")
    old = world.token
    world.client.delete_cookie("session")
    assert who(world) == {"id": "7", "subject": None, "fresh": False}
    assert who(world) == {"id": "7", "subject": "7", "fresh": False}
    assert world.token is not None
    assert world.token != old
    assert world.client.get("/fresh").status_code == 401
    before = world.token
    send(world, "/login/7")
    assert world.token != before
    assert world.client.get("/fresh").text == "fresh"


def test_a_logout_forgets_a_remembered_user(world: World) -> None:
    send(world, "/remember/7")
    send(world, "/logout")
    assert world.client.get_cookie("remember") is None
    assert who(world)["id"] is None


def test_a_logout_elsewhere_logs_out_here(world: World) -> None:
    """Django or Starlette ended the login by the subject alone."""
    world.get(lambda session: session.update(cart=[1]))
    send(world, "/login/7")
    tab = world.other()

    def leave(session: Any) -> None:
        session.clear()
        session["bye"] = 1

    world.get(leave)
    assert who(world, tab) == {"id": None, "subject": None, "fresh": False}


def test_a_login_elsewhere_takes_this_frameworks_attributes_along(world: World) -> None:
    send(world, "/login/7")
    world.get(lambda session: session.login("8"))
    assert who(world) == {"id": None, "subject": "8", "fresh": False}


def test_a_failed_login_leaves_nobody_logged_in(world: World) -> None:
    from tests.flask_adapter.support import DOWN
    from tests.support.scripted_store import raises

    world.get(lambda session: session.update(cart=[1]))
    world.store.always("replace", raises(DOWN))
    response = send(world, "/login/7")
    assert response.status_code == 503
    assert find_values(response.headers.get("Set-Cookie", ""), "session") == []
    world.store.up()
    assert who(world)["id"] is None


def test_the_name_of_the_attribute_can_be_changed_or_switched_off(world: World) -> None:
    world.app.config["SESSIONSTORE_SUBJECT_KEY"] = "user"
    world.get(lambda session: session.update(user=7))
    assert world.stored.subject == "7"
    world.app.config["SESSIONSTORE_SUBJECT_KEY"] = None
    world.client.delete_cookie("session")
    world.get(lambda session: session.update(user=7, _user_id=7))
    assert world.stored.subject is None
