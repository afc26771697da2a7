"""Logging out: the record is deleted if it is this client's, and nobody else's ever."""

from __future__ import annotations

import pytest

from sessionstore import OutcomeUnknown, SessionGone, StoreUnavailable
from sessionstore.core.state import Status
from tests.core.support import World, status, token_of
from tests.support.scripted_store import loses_reply, raises


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


def test_a_delete_of_unknown_outcome_stays_unknown_when_it_cannot_be_repeated() -> None:
    # As "unavailable", a site that prefers pages would drop it as a write that never happened.
    world = World(on_unavailable="anonymous")
    token = world.begin(only=1)
    session = world.open(token)
    world.store.on("delete", loses_reply, raises(StoreUnavailable("connection refused")))

    del session["only"]

    with pytest.raises(OutcomeUnknown):
        world.manager.commit(session)
