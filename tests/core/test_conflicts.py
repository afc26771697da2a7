"""Requests at once: merged, tried again until the deadline, or gone."""

from __future__ import annotations

from typing import Any

import pytest

from sessionstore import (
    ConflictUnresolved,
    DeadlineExceeded,
    SessionGone,
    SessionManager,
)
from sessionstore.core.state import Lifetime
from tests.core.support import HOUR, NOW, World, spoil, token_of, write
from tests.support.scripted_store import (
    after,
    exceeds_deadline,
    passes,
)


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


def test_the_earlier_of_two_deadlines_counts_also_after_a_commit_that_failed() -> None:
    """The failed one has met the other request's deadline: the next one must still know it."""
    world = World(absolute_timeout=2 * HOUR)
    token = world.begin(a=1)
    one, other = world.open(token), world.open(token)
    assert one == other == {"a": 1}
    one.state.lifetime = Lifetime(HOUR)
    other.state.lifetime = Lifetime(HOUR, NOW + 60)
    world.manager.commit(other)
    world.store.on("replace", passes, exceeds_deadline)
    with pytest.raises(ConflictUnresolved):
        world.manager.commit(one)
    world.manager.commit(one)
    assert world.stored(token).absolute == NOW + 60


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
