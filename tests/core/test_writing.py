"""Storing a session: lost replies, conflicts, cookies (DESIGN.md, section 7)."""

from __future__ import annotations

import pytest

from sessionstore import HeadersAlreadySent, SessionGone
from sessionstore.core.state import Status
from tests.core.support import World, status, token_of
from tests.support.scripted_store import before, loses_reply


def test_a_write_found_beneath_a_login_was_done_and_nothing_more_is() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    logins = []

    def somebody_logs_in() -> None:
        world.store.up()
        logins.append(world.request(token, lambda other: other.login("ann")))

    world.store.on("replace", before(somebody_logs_in, loses_reply))
    session["a"] = 2

    assert world.manager.commit(session) is None, "done, but the token is not current any more"
    login = token_of(logins[0])
    assert world.open(login) == {"a": 2}
    # From here on it is the session of whoever has logged in.
    assert status(session) is Status.VOID
    assert session.subject is None
    session["a"] = 3
    with pytest.raises(SessionGone):
        world.manager.commit(session)
    assert world.open(login) == {"a": 2}


def test_a_token_sent_before_a_login_is_not_good_after_it_though_this_request_made_it() -> None:
    world = World(subject_key="_user_id")
    session = world.open()
    session["cart"] = 1
    sent = token_of(world.manager.commit(session))

    session.state.headers_sent = True  # a stream, a WebSocket
    session["_user_id"] = "ann"

    with pytest.raises(HeadersAlreadySent):
        world.manager.commit(session)
    assert world.open(sent).subject is None


def test_a_session_that_begins_with_a_login_needs_no_second_secret() -> None:
    world = World(subject_key="_user_id")
    session = world.open()
    session["cart"] = 1
    created = token_of(world.manager.commit(session))

    session["_user_id"] = "ann"

    assert token_of(world.manager.commit(session)) == created
    assert world.open(created).subject == "ann"
