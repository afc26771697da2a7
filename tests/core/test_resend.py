"""Sending an unchanged token again: only one that this request has seen to be current."""

from __future__ import annotations

from tests.core.support import HOUR, World


def test_nothing_for_who_has_no_session_or_has_not_looked() -> None:
    world = World()
    token = world.begin()

    assert world.manager.resend(world.manager.begin_state(None)) is None
    assert world.manager.resend(world.manager.begin_state(token)) is None


def test_the_same_token_for_the_rest_of_the_idle_timeout() -> None:
    world = World(idle_timeout=HOUR)
    token = world.begin()
    world.clock.advance(60)

    cookie = world.manager.resend(world.open(token).state)

    assert cookie == (token, HOUR - 60)


def test_the_cookie_of_a_browsers_session_gets_no_max_age() -> None:
    world = World(browser_session=True)
    token = world.begin()

    assert world.manager.resend(world.open(token).state) == (token, None)


def test_not_a_token_that_was_rotated_out() -> None:
    world = World()
    old = world.begin(login="ann")
    new = world.request(old, lambda session: session.rotate())

    assert new is not None
    assert world.open(old).subject == "ann"  # within its grace
    assert world.manager.resend(world.open(old).state) is None
    assert world.manager.resend(world.open(new.value).state) is not None


def test_nothing_once_it_is_destroyed() -> None:
    world = World()
    session = world.open(world.begin())
    session.destroy()
    world.manager.commit(session)

    assert world.manager.resend(session.state) is None
