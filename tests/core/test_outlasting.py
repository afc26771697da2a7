"""A request that takes longer than its session lives, on a store whose clock is behind.

Found by tests/model: such a write was called saved and the session deleted, or, where only the
idle timeout had passed, the session went on.
"""

from __future__ import annotations

import pytest

from sessionstore import Cookie, Session, SessionGone
from sessionstore.core.state import Status
from tests.core.support import HOUR, World, status, token_of, write

LIFETIMES = pytest.mark.parametrize(
    "lifetimes",
    [
        {"idle_timeout": HOUR, "absolute_timeout": 2 * HOUR},
        {"idle_timeout": HOUR, "absolute_timeout": HOUR},
    ],
    ids=["idle", "absolute"],
)


def outlasting(lifetimes: dict[str, float]) -> tuple[World, str, Session]:
    """A session that has ended, a request that began before, and a store that still has it."""
    world = World(**lifetimes)
    token = world.begin(a=1)
    session = world.open(token)
    assert session["a"] == 1
    value = world.bytes_of(token)
    world.clock.advance(HOUR)
    world.put(token, value)
    world.store.forget()
    return world, token, session


@LIFETIMES
def test_a_write_comes_too_late_and_is_told(lifetimes: dict[str, float]) -> None:
    world, token, session = outlasting(lifetimes)
    write(session)
    with pytest.raises(SessionGone, match=token[:16]):
        world.manager.commit(session)
    assert world.store.verbs == ["delete"]
    assert world.size == 0


@LIFETIMES
def test_a_login_begins_another_session(lifetimes: dict[str, float]) -> None:
    world, token, session = outlasting(lifetimes)
    session.login("ann")
    begun = token_of(world.manager.commit(session))
    assert begun[:16] != token[:16]
    assert world.open(begun) == {}, "nothing of the one that has ended"
    assert status(world.open(token)) is Status.NEW


@LIFETIMES
def test_a_touch_prolongs_nothing(lifetimes: dict[str, float]) -> None:
    world, _, session = outlasting(lifetimes)
    assert world.manager.commit(session) == Cookie(None)
    assert world.size == 0


def test_what_another_request_has_prolonged_goes_on() -> None:
    world = World(idle_timeout=HOUR, absolute_timeout=2 * HOUR)
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.clock.advance(HOUR / 2)
    world.request(token, dict)
    world.clock.advance(HOUR / 2)
    world.store.forget()

    assert token_of(world.manager.commit(session)) == token

    assert world.store.verbs == ["delete", "replace"], "its own version is over, theirs is not"
    assert world.open(token) == {"a": 1, "b": 2}
