"""Reading counts as activity: recorded seldom, never an error, never beyond the deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import (
    Cookie,
    OutcomeUnknown,
    Session,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.state import Status
from tests.core.support import DAY, HOUR, World, status, token_of, write
from tests.support.scripted_store import after, loses_reply, raises

Action = Callable[[Session], Any]


@pytest.mark.parametrize(
    ("seconds", "touched"), [(0, False), (HOUR / 10 - 1, False), (HOUR / 10, True)]
)
def test_reading_counts_as_activity_once_a_tenth_of_the_idle_timeout(
    seconds: float, touched: bool
) -> None:
    world = World(idle_timeout=HOUR)
    token = world.begin(a=1)
    before = world.stored(token)
    world.clock.advance(seconds)

    cookie = world.request(token, dict)

    assert world.store.verbs == ["load", "replace"] if touched else ["load"]
    assert cookie == (Cookie(token, int(HOUR)) if touched else None)
    found = world.stored(token)
    assert found.touched == before.touched + (seconds if touched else 0)
    if touched:
        for name in ("created", "absolute", "idle", "attributes", "secret_hash", "epoch"):
            assert getattr(found, name) == getattr(before, name), "only `touched` changes"


@pytest.mark.parametrize(
    ("settings", "touched"),
    [
        ({"touch_interval": 60}, True),
        ({"touch_interval": 2 * DAY}, False),
        ({"touch_on_read": False, "touch_interval": 60}, False),
    ],
)
def test_touching_is_configurable(settings: dict[str, Any], touched: bool) -> None:
    world = World(**settings)
    token = world.begin(a=1)
    world.clock.advance(61)
    world.request(token, dict)
    assert ("replace" in world.store.verbs) is touched


def test_a_session_ends_between_idle_less_the_interval_and_idle_never_later() -> None:
    world = World(idle_timeout=HOUR)
    token = world.begin(a=1)
    world.clock.advance(HOUR / 10 - 1)
    world.request(token, dict)  # not recorded
    world.clock.advance(HOUR * 0.9)
    assert world.open(token) == {"a": 1}
    world.clock.advance(1)
    assert status(world.open(token)) is Status.NEW


def test_a_touch_never_extends_beyond_the_absolute_deadline() -> None:
    world = World(idle_timeout=HOUR, absolute_timeout=2 * HOUR)
    token = world.begin(a=1)
    for _ in range(4):
        world.clock.advance(HOUR / 2 - 1)
        world.request(token, dict)
    cookie = world.request(token, write)
    assert cookie is not None
    assert cookie.max_age == 4, "what is left of the absolute lifetime"
    world.clock.advance(4)
    assert status(world.open(token)) is Status.NEW


def test_a_request_that_outlasts_the_absolute_deadline_ends_the_session() -> None:
    world = World(idle_timeout=HOUR, absolute_timeout=HOUR)
    token = world.begin(a=1)
    world.clock.advance(HOUR - 1)
    session = world.open(token)
    assert session["a"] == 1
    value = world.bytes_of(token)
    world.clock.advance(2)
    world.put(token, value)  # a store with a clock of its own
    assert world.manager.commit(session) == Cookie(None)
    assert world.size == 0


@pytest.mark.parametrize("look", [lambda session: session["a"], dict], ids=["one value", "all"])
def test_a_session_that_ended_during_the_request_is_not_begun_anew_with_what_it_held(
    look: Action,
) -> None:
    world = World(idle_timeout=HOUR, absolute_timeout=HOUR, subject_key="a")
    token = world.begin(a="ann", b=1)
    world.clock.advance(HOUR - 1)
    session = world.open(token)
    look(session)
    value = world.bytes_of(token)
    world.clock.advance(2)
    world.put(token, value)
    assert world.manager.commit(session) == Cookie(None)
    assert world.manager.commit(session) is None
    session["c"] = 3
    begun = world.open(token_of(world.manager.commit(session)))
    assert (begun.subject, dict(begun)) == (None, {"c": 3})


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda world, token: world.request(token, lambda s: s.__setitem__("b", 2)),
        lambda world, token: world.request(token, Session.logout),
        lambda world, token: world.request(token, lambda s: s.login("ann")),
    ],
    ids=["a write", "a logout", "a login"],
)
def test_a_touch_that_meets_a_conflict_is_done(meanwhile: Any) -> None:
    world = World(idle_timeout=HOUR)
    token = world.begin(a=1)
    world.clock.advance(HOUR / 2)
    session = world.open(token)
    assert session["a"] == 1
    meanwhile(world, token)
    world.store.forget()
    size = world.size

    assert world.manager.commit(session) is None
    assert world.store.verbs == ["replace"]
    assert world.size == size, "nothing is resurrected"


@pytest.mark.parametrize(
    "error",
    [
        StoreFull("out of memory"),
        StoreUnavailable("connection refused"),
        StoreRefused("no permission"),
        OutcomeUnknown("reset"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_touch_that_fails_lets_the_read_succeed(error: StoreError) -> None:
    world = World(idle_timeout=HOUR)
    token = world.begin(a=1)
    world.clock.advance(HOUR / 2)
    world.store.always("replace", raises(error))
    session = world.open(token)
    assert session["a"] == 1
    assert world.manager.commit(session) is None
    assert world.reports == [("touch_failed", token[:16])]


def test_a_write_to_a_full_store_is_an_error() -> None:
    world = World()
    token = world.begin(a=1)
    world.store.always("replace", raises(StoreFull("out of memory")))
    with pytest.raises(StoreFull):
        world.request(token, write)
    assert world.open(token) == {"a": 1}


def test_a_destroy_meeting_a_touch_at_once_wins() -> None:
    world = World(idle_timeout=HOUR)
    token = world.begin(a=1)
    world.clock.advance(HOUR / 2)
    session = world.open(token)
    assert session["a"] == 1
    world.store.on("replace", after(lambda: world.request(token, Session.logout), loses_reply))
    assert world.manager.commit(session) is None
    assert world.size == 0
