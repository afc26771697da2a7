"""Storing a session: lost replies, conflicts, cookies (DESIGN.md, section 7)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from sessionstore import (
    ConflictUnresolved,
    Cookie,
    DeadlineExceeded,
    HeadersAlreadySent,
    OutcomeUnknown,
    Session,
    SessionGone,
    SessionManager,
    StoreUnavailable,
)
from sessionstore.core.state import Lifetime, Status
from sessionstore.core.verbs import Exists
from tests.core.support import DAY, HOUR, World, status, token_of, write
from tests.support.scripted_store import (
    Step,
    after,
    before,
    exceeds_deadline,
    loses_command,
    loses_reply,
    raises,
    replies,
)

DOWN = StoreUnavailable("connection refused")


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


# -- create --


def test_a_new_session_gets_a_handle_and_a_secret_that_nobody_chose() -> None:
    world = World()
    one, two = world.begin(a=1), world.begin(a=1)
    assert one[:16] != two[:16]
    assert one[17:60] != two[17:60]


@pytest.mark.parametrize("step", [loses_reply, loses_command])
def test_a_create_of_unknown_outcome_is_never_repeated_under_its_handle(step: Step) -> None:
    world = World()
    session = world.open()
    write(session)
    world.store.on("create", step)

    token = token_of(world.manager.commit(session))

    keys = [request[1] for request in world.store.requests]
    assert world.store.verbs == ["create", "create"]
    assert keys[0] != keys[1] == world.memory.key(token[:16])
    assert world.open(token) == {"b": 2}
    assert world.size == (2 if step is loses_reply else 1), "the orphan expires: nobody can open it"


def test_creates_that_are_lost_again_and_again_are_of_unknown_outcome() -> None:
    world = World()
    session = world.open()
    write(session)
    world.store.always("create", loses_command)
    with pytest.raises(OutcomeUnknown):
        world.manager.commit(session)
    keys = [request[1] for request in world.store.requests]
    assert len(set(keys)) == len(keys) == 3


def test_a_create_that_is_lost_and_then_refused_is_of_unknown_outcome() -> None:
    world = World(on_unavailable="anonymous")
    session = world.open()
    write(session)
    world.store.on("create", loses_command, raises(DOWN))
    with pytest.raises(OutcomeUnknown) as caught:
        world.manager.commit(session)
    assert caught.value.__cause__ is DOWN


def test_a_create_that_fails_stores_nothing() -> None:
    world = World()
    session = world.open()
    write(session)
    world.store.on("create", raises(DOWN))
    with pytest.raises(StoreUnavailable):
        world.manager.commit(session)
    assert world.size == 0
    assert token_of(world.manager.commit(session)), "and may be tried again"


def test_a_taken_handle_is_passed_over() -> None:
    world = World()
    session = world.open()
    write(session)
    world.store.on("create", replies(Exists()))
    token = token_of(world.manager.commit(session))
    assert world.store.verbs == ["create", "create"]
    assert world.open(token) == {"b": 2}


def test_randomness_that_only_ever_gives_taken_handles_is_an_error() -> None:
    world = World()
    session = world.open()
    write(session)
    world.store.always("create", replies(Exists()))
    with pytest.raises(ConflictUnresolved, match="is the randomness broken"):
        world.manager.commit(session)


def test_a_new_session_in_a_stream_is_refused_at_commit_as_well() -> None:
    world = World()
    session = world.open()
    write(session)
    session.state.headers_sent = True
    with pytest.raises(HeadersAlreadySent):
        world.manager.commit(session)
    assert world.size == 0


# -- replace: lost replies --


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


def spoil(world: World, token: str) -> None:
    """A server with a newer release, or an attacker, has written something else."""
    value = world.bytes_of(token)
    world.put(token, value[:5] + bytes(8) + value[13:])


def test_a_rotation_whose_reply_was_lost_hands_out_the_new_token() -> None:
    world = World()
    token = world.begin(login="ann")
    session = world.open(token)
    session.rotate()
    world.store.on("replace", loses_reply)
    rotated = token_of(world.manager.commit(session))
    assert rotated != token
    assert world.open(rotated).subject == "ann"


# -- replace: conflicts --


def test_writers_of_different_attributes_never_lose_each_others_writes() -> None:
    world = World()
    token = world.begin(a=1)
    sessions = [world.open(token) for _ in range(20)]
    for number, session in enumerate(sessions):
        session[f"n{number}"] = number
    for session in sessions:
        assert token_of(world.manager.commit(session)) == token
    assert world.open(token) == {"a": 1} | {f"n{number}": number for number in range(20)}


def test_changes_inside_different_attributes_survive_as_well() -> None:
    world = World()
    token = world.begin(cart=[1], seen=[1])
    one, two = world.open(token), world.open(token)
    one["cart"].append(2)
    two["seen"].append(2)
    for session in (one, two):
        world.manager.commit(session)
    assert world.open(token) == {"cart": [1, 2], "seen": [1, 2]}


def test_of_two_writers_of_one_attribute_the_later_counts() -> None:
    world = World()
    token = world.begin(a=1)
    one, two = world.open(token), world.open(token)
    one["a"], two["a"] = 2, 3
    for session in (one, two):
        world.manager.commit(session)
    assert world.open(token) == {"a": 3}


def test_a_merge_function_joins_them_at_each_conflict() -> None:
    world = World(merge={"cart": lambda base, theirs, ours: sorted({*theirs, *ours})})
    token = world.begin(cart=[])
    sessions = [world.open(token) for _ in range(5)]
    for number, session in enumerate(sessions):
        session["cart"].append(number)
    for session in sessions:
        world.manager.commit(session)
    assert world.open(token) == {"cart": [0, 1, 2, 3, 4]}


def test_flashed_messages_of_two_requests_are_both_shown() -> None:
    world = World()
    token = world.begin(a=1)
    one, two = world.open(token), world.open(token)
    one["_flashes"], two["_flashes"] = [("message", "one")], [("message", "two")]
    for session in (one, two):
        world.manager.commit(session)
    assert world.open(token)["_flashes"] == [("message", "one"), ("message", "two")]


def test_conflicts_are_met_until_nobody_is_in_the_way() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    for number in range(5):
        world.store.on("replace", after(writing_directly(world, token, number)))
    world.store.forget()
    assert token_of(world.manager.commit(session)) == token
    assert world.store.verbs == ["replace"] * 6
    assert world.open(token) == {"a": 1, "b": 2} | {f"n{number}": number for number in range(5)}


def writing_directly(world: World, token: str, number: int) -> Any:
    """Another server's write, past the script."""
    other = SessionManager(
        world.memory, world.manager.config, clock=world.clock, entropy=world.entropy
    )

    def write_() -> None:
        session = other.open(token)
        session[f"n{number}"] = number
        other.commit(session)

    return write_


def test_conflicts_until_the_deadline_are_unresolved_and_nothing_is_written() -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.on("replace", after(writing_directly(world, token, 0)), exceeds_deadline)
    with pytest.raises(ConflictUnresolved, match="other writers won until the deadline"):
        world.manager.commit(session)
    assert world.open(token) == {"a": 1, "n0": 0}


def test_a_deadline_without_a_conflict_is_unavailability() -> None:
    world = World()
    session = world.open(world.begin(a=1))
    write(session)
    world.store.on("replace", exceeds_deadline)
    with pytest.raises(DeadlineExceeded):
        world.manager.commit(session)


def test_a_conflict_with_an_unreadable_record_is_gone_and_reported() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    spoil(world, token)
    with pytest.raises(SessionGone):
        world.manager.commit(session)
    assert world.reported == ["unreadable_record:authenticator"]


def test_a_conflict_with_a_record_that_is_over_is_gone() -> None:
    world = World(idle_timeout=HOUR)
    token = world.begin(a=1)
    world.clock.advance(1)
    session = world.open(token)
    write(session)
    writing_directly(world, token, 0)()
    value = world.bytes_of(token)
    world.clock.advance(HOUR)
    world.put(token, value)  # by the store's clock it is still there
    with pytest.raises(SessionGone):
        world.manager.commit(session)


# -- rotations --


def test_of_two_rotations_at_once_one_wins_and_the_loser_merges_without_a_cookie() -> None:
    world = World()
    token = world.begin(login="ann")
    winner, loser = world.open(token), world.open(token)
    for name, session in (("w", winner), ("l", loser)):
        session[name] = 1
        session.rotate()
    rotated = token_of(world.manager.commit(winner))
    assert world.manager.commit(loser) is None
    assert world.open(rotated) == {"w": 1, "l": 1}
    world.clock.advance(10)
    assert status(world.open(token)) is Status.VOID, "one live token"


def test_a_login_that_meets_a_rotation_begins_a_session_of_its_own() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    rotated = token_of(world.request(token, Session.rotate))
    session["mine"] = 2
    session.login("ann")
    begun = token_of(world.manager.commit(session))
    assert begun[:16] != token[:16]
    assert (world.open(begun).subject, dict(world.open(begun))) == ("ann", {"mine": 2})
    assert world.open(rotated).subject is None


@pytest.mark.parametrize("flash", [False, True])
def test_who_has_only_the_previous_secret_may_end_the_session_by_the_frameworks_logout(
    flash: bool,
) -> None:
    world = World(subject_key="_user_id")
    token = world.begin(_user_id="ann")
    rotated = token_of(world.request(token, Session.rotate))
    session = world.open(token)
    del session["_user_id"]
    if flash:
        session["_flashes"] = ["Good-bye"]
    cookie = world.manager.commit(session)
    assert status(world.open(rotated)) is Status.NEW
    if flash:
        assert world.open(token_of(cookie)) == {"_flashes": ["Good-bye"]}
    else:
        assert cookie == Cookie(None)


def test_that_logout_after_yet_another_login_ends_nothing_and_is_told_so() -> None:
    world = World(subject_key="_user_id")
    token = world.begin(_user_id="ann", a=1)
    rotated = token_of(world.request(token, Session.rotate))
    session = world.open(token)
    del session["_user_id"]
    session["_flashes"] = ["Good-bye"]
    login = token_of(world.request(rotated, lambda other: other.login("bob")))
    with pytest.raises(SessionGone):
        world.manager.commit(session)
    assert world.open(login).subject == "bob"


def test_a_rotation_in_a_stream_is_refused_at_commit_as_well() -> None:
    world = World(subject_key="_user_id")
    session = world.open(world.begin(a=1))
    session["_user_id"] = "ann"
    session.state.headers_sent = True
    with pytest.raises(HeadersAlreadySent, match="no cookie for a new secret"):
        world.manager.commit(session)


# -- cookies --


def test_the_cookie_lives_as_long_as_the_session() -> None:
    world = World(idle_timeout=HOUR, absolute_timeout=1.5 * HOUR)
    session = world.open()
    write(session)
    cookie = world.manager.commit(session)
    assert cookie is not None
    assert cookie.max_age == HOUR
    world.clock.advance(HOUR - 0.5)
    cookie = world.request(token_of(cookie), lambda other: other.update(c=3))
    assert cookie is not None
    assert cookie.max_age == HOUR / 2 + 1, "until the absolute deadline, rounded up"


def test_a_browser_sessions_cookie_has_no_max_age_and_a_touch_sends_none() -> None:
    world = World(browser_session=True, idle_timeout=HOUR)
    session = world.open()
    write(session)
    cookie = world.manager.commit(session)
    token = token_of(cookie)
    assert cookie == Cookie(token, None)
    world.clock.advance(HOUR / 2)
    assert world.request(token, dict) is None
    assert world.stored(token).touched == world.clock.now
    assert world.request(token, lambda other: other.update(c=3)) == Cookie(token, None)


def test_a_permanent_session_says_so_in_its_token_and_a_later_one_changes_that() -> None:
    world = World()
    session = world.open()
    write(session)
    session.state.permanent = True
    token = token_of(world.manager.commit(session))
    state = world.manager.begin_state(token)
    assert state.permanent
    session = world.open(token)
    assert "b" in session
    session.state.permanent = False
    session["c"] = 1
    plain = token_of(world.manager.commit(session))
    assert plain != token
    assert not world.manager.begin_state(plain).permanent
    assert world.open(plain) == world.open(token)


def test_a_lifetime_beyond_the_absolute_timeout_is_said_in_the_token() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    session["a"] = 2
    session.state.lifetime = Lifetime(60 * DAY)
    long_lived = token_of(world.manager.commit(session))
    assert long_lived != token
    world.clock.advance(40 * DAY)
    assert world.open(long_lived) == {"a": 2}
    assert status(world.open(token)) is Status.NEW
