"""Lifetimes of zero or less: the cookie is sent, and nothing is stored."""

from __future__ import annotations

import pytest

from tests.core.support import World


@pytest.mark.parametrize("idle", [0, -5])
def test_a_session_that_is_over_before_it_began_is_not_stored(idle: float) -> None:
    world = World(idle_timeout=idle)
    session = world.open()
    session["a"] = 1

    cookie = world.manager.commit(session)

    assert cookie is not None
    assert cookie.max_age == idle
    assert world.size == 0


def test_committing_it_again_does_nothing_unless_it_was_written_again() -> None:
    world = World(idle_timeout=0)
    session = world.open()
    session["a"] = 1
    world.manager.commit(session)

    assert world.manager.commit(session) is None
    session["a"] = 2
    assert world.manager.commit(session) is not None


def test_what_was_declared_unmodified_begins_no_session() -> None:
    world = World()
    session = world.open()
    session["a"] = 1
    session.modified = False

    assert world.manager.commit(session) is None
    assert world.size == 0


def test_a_session_begins_with_all_that_it_shows() -> None:
    world = World()
    session = world.open()
    session["a"] = 1
    session.modified = False
    session["b"] = 2

    cookie = world.manager.commit(session)

    assert cookie is not None
    assert world.open(cookie.value) == {"a": 1, "b": 2}
