"""Logging out: the record is deleted if it is this client's, and nobody else's ever."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from sessionstore import (
    ConflictUnresolved,
    Cookie,
    DeadlineExceeded,
    OutcomeUnknown,
    Session,
    SessionGone,
    StoreUnavailable,
)
from sessionstore.core.state import Status
from tests.core.support import World, status, token_of
from tests.support.scripted_store import (
    Step,
    after,
    exceeds_deadline,
    loses_command,
    loses_reply,
    raises,
)


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


# -- whose session it is, is looked at again --


@pytest.mark.parametrize("others", [1, 3])
def test_a_logout_deletes_whatever_the_session_has_become(others: int) -> None:
    world = World()
    token = world.begin(login="ann", a=1)
    session = world.open(token)
    for number in range(others):
        world.store.on("delete", after(partial(world.request, token, writing(number))))
    session.logout()
    assert world.manager.commit(session) == Cookie(None)
    assert world.size == 0


def writing(number: int) -> Callable[[Session], None]:
    def action(session: Session) -> None:
        session["n"] = number

    return action


def test_a_logout_ends_a_session_that_was_rotated_meanwhile() -> None:
    world = World()
    token = world.begin(login="ann")
    session = world.open(token)
    rotated = token_of(world.request(token, Session.rotate))
    session.logout()
    assert world.manager.commit(session) == Cookie(None)
    assert status(world.open(rotated)) is Status.NEW


def test_who_has_the_previous_secret_within_its_grace_may_log_out() -> None:
    world = World()
    token = world.begin(login="ann")
    rotated = token_of(world.request(token, Session.rotate))
    assert world.request(token, Session.logout) == Cookie(None)
    assert status(world.open(rotated)) is Status.NEW


def test_what_is_left_after_such_a_logout_by_the_subjects_attribute_begins_no_session() -> None:
    world = World(subject_key="user")
    token = world.begin(user="ann", cart=["private"])
    world.request(token, Session.rotate)
    session = world.open(token)
    assert session["cart"] == ["private"]
    del session["user"]
    assert world.manager.commit(session) == Cookie(None)
    assert world.manager.commit(session) is None
    assert world.size == 0
    session["flash"] = "bye"
    assert dict(world.open(token_of(world.manager.commit(session)))) == {"flash": "bye"}


def test_two_logouts_at_once_both_delete_the_cookie() -> None:
    world = World()
    token = world.begin(login="ann")
    sessions = [world.open(token), world.open(token)]
    for session in sessions:
        session.logout()
        assert world.manager.commit(session) == Cookie(None)


def test_a_logout_is_done_once() -> None:
    world = World()
    session = world.open(world.begin(login="ann"))
    session.logout()
    assert world.manager.commit(session) == Cookie(None)
    assert world.manager.commit(session) is None
    assert world.store.verbs == ["load", "delete"]


# -- lost replies --


@pytest.mark.parametrize("step", [loses_reply, loses_command])
def test_a_delete_whose_reply_is_lost_is_repeated(step: Step) -> None:
    world = World()
    session = world.open(world.begin(login="ann"))
    session.logout()
    world.store.on("delete", step)
    assert world.manager.commit(session) == Cookie(None)
    assert world.store.verbs == ["load", "delete", "delete"]
    assert world.size == 0


def test_an_emptied_session_whose_deletes_reply_is_lost_is_deleted_not_gone() -> None:
    world = World()
    session = world.open(world.begin(only=1))
    del session["only"]
    world.store.on("delete", loses_reply)
    assert world.manager.commit(session) == Cookie(None)
    assert world.size == 0


def test_a_delete_that_is_lost_twice_is_of_unknown_outcome_and_the_cookie_goes() -> None:
    world = World()
    session = world.open(world.begin(login="ann"))
    session.logout()
    world.store.always("delete", loses_command)
    with pytest.raises(OutcomeUnknown):
        world.manager.commit(session)
    assert session.state.destroyed, "by which the adapter knows that it clears the cookie"


def test_a_lost_delete_and_then_another_writer_deletes_what_is_there_now() -> None:
    world = World()
    token = world.begin(login="ann")
    session = world.open(token)
    session.logout()
    world.store.on("delete", after(lambda: world.request(token, writing(1)), loses_command))
    assert world.manager.commit(session) == Cookie(None)
    assert world.size == 0


# -- what cannot be deleted is an error --


def test_a_logout_in_conflicts_until_the_deadline_is_unresolved() -> None:
    world = World()
    token = world.begin(login="ann")
    session = world.open(token)
    session.logout()
    world.store.on("delete", after(lambda: world.request(token, writing(1))), exceeds_deadline)
    with pytest.raises(ConflictUnresolved, match="until the deadline"):
        world.manager.commit(session)
    assert session.state.destroyed


def test_a_logout_without_time_is_unavailability() -> None:
    world = World()
    session = world.open(world.begin(login="ann"))
    session.logout()
    world.store.on("delete", exceeds_deadline)
    with pytest.raises(DeadlineExceeded):
        world.manager.commit(session)


def test_a_record_that_became_unreadable_is_not_deleted_and_that_is_an_error() -> None:
    world = World()
    token = world.begin(login="ann")
    session = world.open(token)
    session.logout()
    value = world.bytes_of(token)
    world.put(token, value[:5] + bytes(8) + value[13:])
    with pytest.raises(ConflictUnresolved, match="cannot be deleted: unreadable session record"):
        world.manager.commit(session)
    assert world.size == 1


def test_a_logout_whose_load_finds_nothing_is_no_error() -> None:
    world = World()
    token = world.begin(login="ann")
    world.remove(token)
    session = world.manager.begin(token, Session)
    session.logout()
    assert world.manager.commit(session) is None
    assert world.store.verbs == ["load"]
