"""A write whose reply was lost recognises itself, or is of unknown outcome."""

from __future__ import annotations

from functools import partial

import pytest

from sessionstore import (
    OutcomeUnknown,
    Session,
    SessionGone,
    StoreUnavailable,
)
from sessionstore.core.state import Status
from tests.core.support import World, spoil, status, token_of, write
from tests.support.scripted_store import (
    Step,
    after,
    before,
    exceeds_deadline,
    loses_command,
    loses_reply,
    raises,
)

DOWN = StoreUnavailable("connection refused")


def test_a_lost_reply_is_met_by_the_same_bytes_and_recognised() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.forget()
    world.store.on("replace", loses_reply)

    assert token_of(world.manager.commit(session)) == token

    first, second = world.store.requests
    assert first == second, "byte for byte"
    assert world.open(token) == {"a": 1, "b": 2}
    assert session.state.record == world.stored(token)


def test_a_lost_command_is_simply_sent_again() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.on("replace", loses_command, loses_command)
    assert token_of(world.manager.commit(session)) == token
    assert world.store.verbs == ["load", "replace", "replace", "replace"]
    assert world.open(token) == {"a": 1, "b": 2}


@pytest.mark.parametrize("others", [1, 3])
def test_our_write_is_recognised_beneath_three_later_ones(others: int) -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.on("replace", before(lambda: later_writes(world, token, others), loses_reply))
    assert token_of(world.manager.commit(session)) == token
    assert world.open(token) == {"a": 1, "b": 2, "later": others}


def later_writes(world: World, token: str, count: int) -> None:
    for number in range(1, count + 1):
        world.request(token, partial(Session.update, later=number))


def test_beneath_four_later_ones_nobody_knows_and_nothing_is_merged() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.on("replace", before(lambda: later_writes(world, token, 4), loses_reply))
    with pytest.raises(OutcomeUnknown):
        world.manager.commit(session)
    assert world.open(token) == {"a": 1, "b": 2, "later": 4}


def test_a_lost_command_and_then_another_writer_is_of_unknown_outcome() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.on("replace", after(lambda: later_writes(world, token, 1), loses_command))
    with pytest.raises(OutcomeUnknown):
        world.manager.commit(session)
    assert world.open(token) == {"a": 1, "later": 1}


def test_replies_that_are_lost_again_and_again_are_of_unknown_outcome() -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.forget()
    world.store.always("replace", loses_command)
    with pytest.raises(OutcomeUnknown):
        world.manager.commit(session)
    assert world.store.verbs == ["replace"] * 3


@pytest.mark.parametrize("step", [raises(DOWN), exceeds_deadline], ids=["down", "deadline"])
def test_a_lost_reply_and_then_a_failure_is_of_unknown_outcome(step: Step) -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.on("replace", loses_reply, step)
    with pytest.raises(OutcomeUnknown):
        world.manager.commit(session)
    assert session.available, "what may have been written is not called dropped"


def test_a_lost_reply_and_then_nothing_there_is_gone() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.on("replace", before(lambda: world.remove(token), loses_reply))
    with pytest.raises(SessionGone):
        world.manager.commit(session)
    assert world.size == 0


def test_a_lost_reply_and_then_an_unreadable_record_is_of_unknown_outcome() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.on("replace", before(lambda: spoil(world, token), loses_reply))
    with pytest.raises(OutcomeUnknown):
        world.manager.commit(session)
    assert world.reported == ["unreadable_record:authenticator"]


def test_a_rotation_whose_reply_was_lost_hands_out_the_new_token() -> None:
    world = World()
    token = world.begin(login="ann")
    session = world.open(token)
    session.rotate()
    world.store.on("replace", loses_reply)
    rotated = token_of(world.manager.commit(session))
    assert rotated != token
    assert world.open(rotated).subject == "ann"


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
