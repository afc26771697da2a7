"""How a record becomes the next one: secrets, epochs, deadlines (DESIGN.md, sections 4, 5, 7)."""

from __future__ import annotations

import pytest

from sessionstore.core.state import Lifetime
from tests.core.support import DAY, HOUR, NOW, World, token_of


def test_whoever_logs_out_is_not_authenticated_any_more_even_if_the_session_stays() -> None:
    world = World(subject_key="_user_id")
    token = world.begin(_user_id="ann", cart=1)
    session = world.open(token)
    assert session.authenticated is not None

    del session["_user_id"]
    after = world.open(token_of(world.manager.commit(session)))

    assert after == {"cart": 1}
    assert after.subject is None
    assert after.authenticated is None, "a step-up check would take it for a recent login"


def test_a_lifetime_asked_for_is_stored_though_nothing_else_changed() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    assert session == {"a": 1}
    session.state.lifetime = Lifetime(HOUR, browser=True)

    cookie = world.manager.commit(session)

    assert (world.stored(token).idle, world.stored(token).browser) == (HOUR, True)
    assert cookie is not None
    assert cookie.max_age is None, "the browser is told as well"


def test_a_lifetime_asked_for_survives_a_conflict() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    assert session == {"a": 1}
    session.state.lifetime = Lifetime(HOUR)
    world.request(token, lambda other: other.update(b=2))

    world.manager.commit(session)

    assert world.stored(token).idle == HOUR
    assert world.open(token) == {"a": 1, "b": 2}


def test_times_are_compared_as_they_are_stored() -> None:
    world = World()
    world.clock.now = NOW + 0.123456789
    session = world.open()
    session["a"] = 1
    token = token_of(world.manager.commit(session))
    world.request(token, lambda other: other.update(b=2))

    # The record in hand is not rounded, the one in conflict is: nobody has set any deadline.
    session.state.lifetime = Lifetime(60 * DAY)
    session["a"] = 2
    world.manager.commit(session)

    assert world.stored(token).idle == 60 * DAY
    assert world.stored(token).absolute == pytest.approx(NOW + 60 * DAY, abs=1)
