"""A late write to a session that has gone is dropped, and its app is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import (
    Session,
    SessionGone,
)
from sessionstore.core.state import Status
from tests.core.support import World, status, token_of, write

Action = Callable[[Session], Any]


GONE = {
    "destroyed": Session.destroy,
    "logged out": Session.logout,
    "another logged in": lambda s: s.login("somebody"),
    "the same logged in again": lambda s: s.login("ann"),
    "cleared and written": lambda s: (s.clear(), s.__setitem__("c", 3)),
}


@pytest.mark.parametrize("meanwhile", GONE.values(), ids=GONE)
@pytest.mark.parametrize("action", [write, Session.rotate, lambda s: s.pop("a")])
def test_a_late_write_to_a_session_that_has_gone_is_refused(
    meanwhile: Action, action: Action
) -> None:
    world = World()
    token = world.begin(login="ann", a=1)
    late = world.open(token)
    action(late)
    winner = world.request(token, meanwhile)
    size = world.size
    held = world.bytes_of(token) if size else None

    with pytest.raises(SessionGone, match=token[:16]):
        world.manager.commit(late)

    assert world.size == size, "nothing is resurrected"
    if held is not None:
        assert world.bytes_of(token) == held
        assert status(world.open(token_of(winner))) is Status.LOADED
    assert status(late) is Status.VOID
    assert (late.handle, late.subject, late.is_new) == (None, None, True)
    assert world.manager.commit(late) is None


@pytest.mark.parametrize("meanwhile", GONE.values(), ids=GONE)
def test_a_request_that_logs_in_itself_gets_a_fresh_session(meanwhile: Action) -> None:
    world = World()
    token = world.begin(login="ann", a=1)
    late = world.open(token)
    late["mine"] = 1
    late.login("bob")
    world.request(token, meanwhile)

    begun = token_of(world.manager.commit(late))

    assert begun[:16] != token[:16]
    assert world.open(begun).subject == "bob"
    assert world.open(begun) == {"mine": 1}


def test_a_double_click_on_log_in_gives_two_answers_whose_cookies_both_work() -> None:
    world = World()
    token = world.begin(cart=1)
    first, second = world.open(token), world.open(token)
    for session in (first, second):
        session.login("ann")
    cookies = [token_of(world.manager.commit(session)) for session in (first, second)]
    assert [world.open(cookie).subject for cookie in cookies] == ["ann", "ann"]
    assert status(world.open(token)) is Status.VOID


def test_a_record_evicted_meanwhile_is_gone_too() -> None:
    world = World()
    token = world.begin(a=1)
    late = world.open(token)
    write(late)
    world.remove(token)
    with pytest.raises(SessionGone):
        world.manager.commit(late)
    assert world.size == 0
