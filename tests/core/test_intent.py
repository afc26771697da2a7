"""Who logs in or out: by ``login()``, or by the framework's own attribute (``subject_key``)."""

from __future__ import annotations

from typing import Any

import pytest

from sessionstore import Session
from sessionstore.core.config import DJANGO_IDENTITY
from sessionstore.core.intent import Request, read_intent
from sessionstore.core.state import Status
from tests.core.support import World, status, token_of

KEY = "_user_id"


def world_of_flask_login(**settings: Any) -> World:
    return World(subject_key=KEY, **settings)


# -- rotation by itself --


@pytest.mark.parametrize(("user_id", "subject"), [("ann", "ann"), (7, "7"), (0, "0")])
def test_the_session_becomes_whose_attribute_appears_under_a_new_secret(
    user_id: Any, subject: str
) -> None:
    world = world_of_flask_login()
    token = world.begin(cart=1)
    after = token_of(world.request(token, lambda session: session.update({KEY: user_id})))
    assert after[:16] == token[:16]
    assert after != token
    assert world.open(after).subject == subject
    assert world.open(after) == {"cart": 1, KEY: user_id}
    assert status(world.open(token)) is Status.VOID, "a planted token is worthless now"


@pytest.mark.parametrize(
    "leave",
    [
        lambda s: s.pop(KEY),
        lambda s: s.__setitem__(KEY, None),
        lambda s: s.__setitem__(KEY, ""),
    ],
    ids=["removed", "None", "empty"],
)
def test_the_subject_leaves_with_the_attribute(leave: Any) -> None:
    world = world_of_flask_login()
    token = world.begin(**{KEY: "ann", "cart": 1})
    after = token_of(world.request(token, leave))
    assert after != token
    session = world.open(after)
    assert session.subject is None
    assert session["cart"] == 1
    assert status(world.open(token)) is Status.VOID


def test_another_user_finds_nothing_of_the_one_before() -> None:
    world = world_of_flask_login()
    token = world.begin(**{KEY: "ann", "private": 1})
    after = token_of(world.request(token, lambda s: s.update({KEY: "bob", "mine": 2})))
    assert world.open(after) == {KEY: "bob", "mine": 2}
    assert world.open(after).subject == "bob"


def test_the_same_user_again_by_the_attribute_changes_nothing() -> None:
    world = world_of_flask_login()
    token = world.begin(**{KEY: "ann"})
    assert token_of(world.request(token, lambda s: s.update({KEY: "ann"}))) == token


def test_an_attribute_that_was_never_anybodys_does_nothing_when_it_goes() -> None:
    world = world_of_flask_login()
    token = world.begin(**{KEY: "", "cart": 1})
    assert world.stored(token).subject is None
    assert token_of(world.request(token, lambda s: s.pop(KEY))) == token
    assert world.stored(token).epoch == 0


def test_a_new_session_with_the_attribute_is_that_users() -> None:
    world = world_of_flask_login()
    session = world.open()
    session[KEY] = "ann"
    token = token_of(world.manager.commit(session))
    assert world.open(token).subject == "ann"
    assert world.open(token).authenticated is not None


def test_a_login_beats_the_attribute() -> None:
    world = world_of_flask_login()

    def action(session: Session) -> None:
        session[KEY] = "ann"
        session.login("bob")

    assert world.open(token_of(world.request(None, action))).subject == "bob"


def test_without_a_subject_key_an_attribute_is_an_attribute() -> None:
    world = World()
    token = world.begin(cart=1)
    assert token_of(world.request(token, lambda s: s.update({KEY: "ann"}))) == token
    assert world.stored(token).subject is None


# -- the other frameworks' identities --


@pytest.mark.parametrize("user", ["ann", "bob"])
def test_identities_that_this_request_did_not_set_go_when_the_subject_changes(user: str) -> None:
    world = world_of_flask_login()
    django = dict.fromkeys(DJANGO_IDENTITY, "half a login")
    token = world.begin(**django, cart=1)
    after = token_of(world.request(token, lambda s: s.update({KEY: user, "_fresh": True})))
    assert world.open(after) == {"cart": 1, KEY: user, "_fresh": True}


def test_they_go_with_a_logout_at_another_framework() -> None:
    world = world_of_flask_login()
    token = world.begin(**{KEY: "ann", "_fresh": True, "_auth_user_id": "ann", "cart": 1})
    after = token_of(world.request(token, lambda s: s.pop(KEY)))
    assert world.open(after) == {"cart": 1}


def test_they_stay_where_the_same_user_logs_in_again() -> None:
    world = world_of_flask_login()
    token = world.begin(**{KEY: "ann", "_auth_user_id": "ann"})
    after = token_of(world.request(token, lambda s: s.login("ann")))
    assert world.open(after) == {KEY: "ann", "_auth_user_id": "ann"}


def test_they_are_configurable() -> None:
    world = World(identity_keys=["mine"])
    token = world.begin(mine=1, _user_id=2)
    after = token_of(world.request(token, lambda s: s.login("ann")))
    assert world.open(after) == {"_user_id": 2}


def test_what_was_set_to_the_same_value_by_this_request_stays() -> None:
    world = World()
    token = world.begin(login="ann", theme="dark", cart=1)

    def action(session: Session) -> None:
        session["theme"] = "dark"
        session.login("bob")

    assert world.open(token_of(world.request(token, action))) == {"theme": "dark"}


# -- nothing leaks --


def test_what_a_request_wants_is_told_without_its_values() -> None:
    world = world_of_flask_login()
    session = world.open()
    session["card"] = "secret"
    intent = read_intent(session.state, session, world.manager.config)
    request = Request(session.state, session, intent, 0.0, bytes)
    assert repr(request) == "<Request <Intent writes=True changes_hands=False>>"
