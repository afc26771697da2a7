"""Logging out: the record is deleted if it is this client's, and nobody else's ever."""

from __future__ import annotations

import pytest

from sessionstore import SessionGone
from sessionstore.core.state import Status
from tests.core.support import World, status, token_of


def test_a_logout_after_somebody_logged_in_ends_nothing_and_touches_no_cookie() -> None:
    world = World()
    token = world.begin(cart=1)
    late = world.open(token)
    login = token_of(world.request(token, lambda session: session.login("ann")))

    late.logout()

    assert world.manager.commit(late) is None
    assert status(late) is Status.VOID
    assert world.open(login).subject == "ann"


def test_what_is_written_after_such_a_logout_is_refused_and_begins_no_session() -> None:
    world = World()
    token = world.begin(cart=1)
    late = world.open(token)
    world.request(token, lambda session: session.login("ann"))

    late.logout()
    late["_flashes"] = ["Good-bye"]

    # A session of its own would have its cookie overwrite the one that the login has set.
    with pytest.raises(SessionGone, match=token[:16]):
        world.manager.commit(late)
    assert world.size == 1
