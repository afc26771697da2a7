"""Storing a session: creating it, changing its secret, and the cookie that comes of it."""

from __future__ import annotations

from typing import Any

import pytest

from sessionstore import (
    ConflictUnresolved,
    Cookie,
    HeadersAlreadySent,
    OutcomeUnknown,
    Session,
    SessionGone,
    SessionTooLarge,
    StoreUnavailable,
    UnstorableValue,
)
from sessionstore.core.state import Lifetime, Status
from sessionstore.core.verbs import Exists
from tests.core.support import DAY, HOUR, World, status, token_of, write
from tests.support.scripted_store import (
    Step,
    loses_command,
    loses_reply,
    raises,
    replies,
)

DOWN = StoreUnavailable("connection refused")


# -- create --


def test_a_new_session_gets_a_handle_and_a_secret_that_nobody_chose() -> None:
    world = World()
    one, two = world.begin(a=1), world.begin(a=1)
    assert one[:16] != two[:16]
    assert one[17:60] != two[17:60]


def test_an_attribute_may_be_named_by_an_integer_that_python_writes_no_digits_of() -> None:
    """sys.set_int_max_str_digits(): by default, 4300."""
    name: Any = 10**5000
    world = World(max_size=3000, compression="none")

    def named(value: object) -> str:
        return token_of(world.request(None, lambda session: session.__setitem__(name, value)))

    assert world.open(named([1, b"2"])) == {name: [1, b"2"]}
    with pytest.raises(UnstorableValue, match="session value <int> cannot be stored"):
        named(object())
    with pytest.raises(SessionTooLarge, match="'<int>'"):
        named(b"x" * 3000)


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
