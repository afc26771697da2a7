"""How a record becomes the next one: secrets, epochs, deadlines (DESIGN.md, sections 4, 5, 7)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sessionstore import Cookie, Session
from sessionstore.core import record
from sessionstore.core.expiry import MAX_LIFETIME
from sessionstore.core.sealing import Sealer
from sessionstore.core.state import Lifetime, Status
from tests.core.support import DAY, HOUR, NOW, World, status, token_of, write


def test_whoever_logs_out_is_not_authenticated_any_more_even_if_the_session_stays() -> None:
    world = World(subject_key="_user_id")
    token = world.begin(_user_id="ann", cart=1)
    session = world.open(token)
    assert session.authenticated is not None

    del session["_user_id"]
    after = world.open(token_of(world.manager.commit(session)))

    assert after == {"cart": 1}
    assert after.subject is None
    assert after.authenticated is None, "a step-up check would take it for a recent login"


def test_a_lifetime_asked_for_is_stored_though_nothing_else_changed() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    assert session == {"a": 1}
    session.state.lifetime = Lifetime(HOUR, browser=True)

    cookie = world.manager.commit(session)

    assert (world.stored(token).idle, world.stored(token).browser) == (HOUR, True)
    assert cookie is not None
    assert cookie.max_age is None, "the browser is told as well"


def test_a_lifetime_asked_for_survives_a_conflict() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    assert session == {"a": 1}
    session.state.lifetime = Lifetime(HOUR)
    world.request(token, lambda other: other.update(b=2))

    world.manager.commit(session)

    assert world.stored(token).idle == HOUR
    assert world.open(token) == {"a": 1, "b": 2}


def test_times_are_compared_as_they_are_stored() -> None:
    world = World()
    world.clock.now = NOW + 0.123456789
    session = world.open()
    session["a"] = 1
    token = token_of(world.manager.commit(session))
    world.request(token, lambda other: other.update(b=2))

    # The record in hand is not rounded, the one in conflict is: nobody has set any deadline.
    session.state.lifetime = Lifetime(60 * DAY)
    session["a"] = 2
    world.manager.commit(session)

    assert world.stored(token).idle == 60 * DAY
    assert world.stored(token).absolute == pytest.approx(NOW + 60 * DAY, abs=1)


# -- secrets and epochs --


def test_a_rotation_keeps_the_handle_and_changes_the_secret() -> None:
    world = World()
    token = world.begin(login="ann", a=1)
    before = world.stored(token)
    world.clock.advance(60)

    rotated = token_of(world.request(token, Session.rotate))

    assert rotated[:16] == token[:16]
    assert rotated[17:60] != token[17:60]
    after = world.stored(rotated)
    assert after.previous is not None
    assert after.previous.hash == before.secret_hash[:8]
    assert after.previous.grace_until == NOW + 60 + 10
    for name in ("epoch", "created", "authenticated", "absolute", "idle", "subject", "attributes"):
        assert getattr(after, name) == getattr(before, name)


@pytest.mark.parametrize(
    ("action", "subject"),
    [
        (lambda s: s.login("ann"), "ann"),
        (lambda s: s.login("bob"), "bob"),
        (lambda s: (s.clear(), s.__setitem__("a", 1)), None),
    ],
    ids=["the same user", "another user", "nobody"],
)
def test_whoever_logs_in_or_out_gets_a_new_epoch_and_kills_the_secret_before(
    action: Callable[[Session], Any], subject: str | None
) -> None:
    world = World()
    token = world.begin(login="ann", a=1)
    before = world.stored(token)
    after = world.stored(token_of(world.request(token, action)))
    assert after.epoch == before.epoch + 1
    assert after.subject == subject
    assert after.previous is not None
    assert after.previous.grace_until == 0
    assert world.store.verbs == ["load", "replace"], "one compare-and-set on one key"


def test_a_login_kills_the_grace_of_a_rotation_before_it_in_the_same_request() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    session.rotate()
    rotated = token_of(world.manager.commit(session))
    session.login("ann")
    assert token_of(world.manager.commit(session)) == rotated, "nobody has seen this secret yet"
    assert world.open(rotated).subject == "ann"
    assert status(world.open(token)) is Status.VOID, "no grace is left"


def test_the_revision_counts_and_the_last_four_write_ids_are_kept() -> None:
    world = World()
    token = world.begin(a=0)
    seen = [world.stored(token)]
    for number in range(1, 6):
        world.request(token, partial(Session.update, a=number))
        seen.append(world.stored(token))
    assert [found.counter for found in seen] == [1, 2, 3, 4, 5, 6]
    ids = [found.write_ids[0] for found in seen]
    assert len(set(ids)) == 6
    assert [found.write_ids for found in seen] == [
        tuple(reversed(ids[max(0, n - 3) : n + 1])) for n in range(6)
    ]


def test_the_counters_wrap_around() -> None:
    world = World()
    token = world.begin(a=1)
    last = world.stored(token)._replace(counter=2**32 - 1, epoch=2**32 - 1)
    world.put(token, record.encode(last, token[:16], Sealer(world.manager.config.keys)))
    after = world.stored(token_of(world.request(token, lambda session: session.login("ann"))))
    assert (after.counter, after.epoch) == (0, 0)


def test_a_clock_behind_another_servers_takes_no_activity_back() -> None:
    world = World()
    world.clock.advance(60)
    token = world.begin(a=1)
    world.clock.advance(-3)
    world.request(token, write)
    assert world.stored(token).touched == NOW + 60


# -- deadlines --


def test_a_session_begins_with_the_servers_deadlines() -> None:
    world = World(idle_timeout=HOUR, absolute_timeout=DAY)
    found = world.stored(world.begin(a=1))
    assert (found.created, found.touched, found.authenticated) == (NOW, NOW, None)
    assert (found.idle, found.absolute, found.browser) == (HOUR, NOW + DAY, False)


def test_a_session_keeps_the_deadlines_of_whoever_began_it() -> None:
    world = World(idle_timeout=HOUR, absolute_timeout=DAY)
    token = world.begin(a=1)
    other = world.server(idle_timeout=60, absolute_timeout=2 * DAY, browser_session=True)
    session = other.open(token)
    write(session)
    other.commit(session)
    found = world.stored(token)
    assert (found.idle, found.absolute, found.browser) == (HOUR, NOW + DAY, False)


def test_a_login_begins_the_lifetime_anew() -> None:
    world = World(idle_timeout=HOUR, absolute_timeout=2 * HOUR)
    token = world.begin(a=1)
    world.clock.advance(HOUR / 2)
    found = world.stored(token_of(world.request(token, lambda session: session.login("ann"))))
    now = NOW + HOUR / 2
    assert (found.created, found.authenticated, found.absolute) == (now, now, now + 2 * HOUR)
    assert found.idle == HOUR


@pytest.mark.parametrize(
    ("lifetime", "idle", "absolute"),
    [
        (Lifetime(60), 60, 30 * DAY),
        (Lifetime(60 * DAY), 60 * DAY, 60 * DAY),
        (Lifetime(60, absolute=NOW + HOUR), 60, HOUR),
        (Lifetime(float("inf")), MAX_LIFETIME, MAX_LIFETIME),
        (Lifetime(60, absolute=float("inf")), 60, MAX_LIFETIME),
    ],
    ids=["shorter", "longer", "an identity provider's", "forever", "no absolute one"],
)
@pytest.mark.parametrize("new", [True, False])
def test_what_an_app_sets_explicitly_is_what_it_gets(
    lifetime: Lifetime, idle: float, absolute: float, new: bool
) -> None:
    world = World()
    session = world.open(None if new else world.begin(a=1))
    write(session)
    session.state.lifetime = lifetime
    found = world.stored(token_of(world.manager.commit(session)))
    assert (found.idle, found.absolute) == (idle, NOW + absolute)


@pytest.mark.parametrize("lifetime", [Lifetime(0), Lifetime(-5), Lifetime(60, absolute=NOW - 1)])
def test_what_is_over_already_is_deleted(lifetime: Lifetime) -> None:
    world = World()
    session = world.open(world.begin(a=1))
    write(session)
    session.state.lifetime = lifetime
    assert world.manager.commit(session) == Cookie(None)
    assert world.size == 0


def test_of_two_deadlines_set_at_once_the_earlier_counts() -> None:
    world = World()
    token = world.begin(a=1)
    one, two = world.open(token), world.open(token)
    for session, lifetime in ((one, Lifetime(60, NOW + DAY)), (two, Lifetime(90, NOW + HOUR))):
        write(session)
        session.state.lifetime = lifetime
        world.manager.commit(session)
    found = world.stored(token)
    assert (found.idle, found.absolute) == (60, NOW + HOUR)


def test_but_a_login_sets_its_own() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    session.login("ann")
    session.state.lifetime = Lifetime(90 * DAY)

    def shorter(other: Session) -> None:
        write(other)
        other.state.lifetime = Lifetime(60)

    world.request(token, shorter)
    found = world.stored(token_of(world.manager.commit(session)))
    assert (found.idle, found.absolute) == (90 * DAY, NOW + 90 * DAY)


def test_where_a_recent_rotation_will_do_there_is_one_in_each_grace() -> None:
    world = World(rotation_grace=10)
    token = world.begin(login="ann")

    def cycle(session: Session) -> None:
        session.get("anything")
        session.state.mark_rotate(unless_recent=True)

    first = token_of(world.request(token, cycle))
    assert first != token, "a login is none"
    world.clock.advance(9)
    assert token_of(world.request(first, cycle)) == first
    assert world.open(token).subject == "ann", "nor has it taken the grace of another from it"
    assert token_of(world.request(first, lambda session: session.rotate())) != first
    world.clock.advance(10)
    assert world.stored(first).previous is not None


@pytest.mark.parametrize("order", [[True, False], [False, True]])
def test_who_asks_for_a_new_secret_as_well_gets_one(order: list[bool]) -> None:
    world = World()
    token = token_of(world.request(world.begin(a=1), lambda session: session.rotate()))

    def both(session: Session) -> None:
        session.get("anything")
        for unless_recent in order:
            session.state.mark_rotate(unless_recent=unless_recent)

    assert token_of(world.request(token, both)) != token
