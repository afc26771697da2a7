"""Emptied by clear(), emptied by pop(), destroyed, and what is written afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import (
    Cookie,
    Session,
)
from sessionstore.core.state import Status
from tests.core.support import World, status, token_of, write

Action = Callable[[Session], Any]


def test_left_empty_by_clear_it_is_destroyed_whatever_others_wrote() -> None:
    world = World()
    token = world.begin(login="ann", a=1)
    session = world.open(token)
    world.request(token, write)
    session.clear()
    assert world.manager.commit(session) == Cookie(None)
    assert world.size == 0
    assert status(session) is Status.NEW


def test_emptied_by_pop_it_is_deleted() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    session.pop("a")
    assert world.manager.commit(session) == Cookie(None)
    assert world.size == 0
    assert session.is_new


def test_emptied_by_pop_but_written_by_another_it_is_merged() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    world.request(token, write)
    session.pop("a")
    assert token_of(world.manager.commit(session)) == token
    assert world.open(token) == {"b": 2}


def test_emptied_by_pop_a_logged_in_session_stays() -> None:
    world = World()
    token = world.begin(login="ann", a=1)
    session = world.open(token)
    session.pop("a")
    assert token_of(world.manager.commit(session)) == token
    assert world.open(token).subject == "ann"


@pytest.mark.parametrize("action", [Session.clear, lambda s: s.pop("a")], ids=["clear", "pop"])
def test_django_keeps_an_empty_record(action: Action) -> None:
    world = World(keep_empty=True)
    token = world.begin(a=1)
    assert token_of(world.request(token, action)) == token
    assert world.size == 1
    assert world.open(token) == {}


def test_django_clear_signs_out_and_so_changes_the_secret() -> None:
    world = World(keep_empty=True)
    token = world.begin(login="ann", a=1)
    after_it = token_of(world.request(token, Session.clear))
    assert after_it[:16] == token[:16]
    assert after_it != token
    assert world.open(after_it).subject is None


def test_cleared_and_written_it_is_replaced_whatever_others_wrote() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    world.request(token, write)
    session.clear()
    session["c"] = 3
    assert token_of(world.manager.commit(session)) == token, "nobody was signed in"
    assert world.open(token) == {"c": 3}


def test_cleared_and_written_by_whoever_was_signed_in_gets_a_new_secret() -> None:
    world = World()
    token = world.begin(login="ann", a=1)

    def action(session: Session) -> None:
        session.clear()
        session["c"] = 3

    after_it = token_of(world.request(token, action))
    assert after_it != token
    assert world.open(after_it).subject is None
    assert status(world.open(token)) is Status.VOID


def test_cleared_but_logged_in_again_it_is_not_destroyed() -> None:
    world = World()
    token = world.begin(login="ann", a=1)

    def action(session: Session) -> None:
        session.clear()
        session.login("ann")

    after_it = token_of(world.request(token, action))
    assert after_it[:16] == token[:16]
    assert world.open(after_it) == {}
    assert world.open(after_it).subject == "ann"


# -- destroyed, and written again --


def test_what_is_written_after_a_logout_begins_another_session() -> None:
    world = World()
    token = world.begin(login="ann", a=1)

    def action(session: Session) -> None:
        session.logout()
        session["_flashes"] = ["Good-bye"]

    begun = token_of(world.request(token, action))
    assert begun[:16] != token[:16]
    assert world.open(begun) == {"_flashes": ["Good-bye"]}
    assert world.open(begun).subject is None
    assert world.size == 1


def test_whoever_logs_out_and_in_gets_another_session() -> None:
    world = World()
    token = world.begin(login="ann", a=1)

    def action(session: Session) -> None:
        session.logout()
        session.login("bob")

    begun = token_of(world.request(token, action))
    assert begun[:16] != token[:16]
    assert (world.open(begun).subject, dict(world.open(begun))) == ("bob", {})


def test_an_explicit_save_after_a_logout_stores_an_empty_session() -> None:
    world = World(keep_empty=True)
    session = world.open(world.begin(a=1))
    session.destroy()
    begun = token_of(world.manager.save(session.state, session, force=True))
    assert world.open(begun) == {}
    assert world.size == 1
