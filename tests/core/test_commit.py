"""What becomes of a session at the end of a request (DESIGN.md, section 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import (
    Cookie,
    Session,
    SessionTooLarge,
    StoreUnavailable,
)
from sessionstore.core.state import Status
from tests.core.support import HOUR, World, status, token_of, write
from tests.support.scripted_store import exceeds_deadline, raises

Action = Callable[[Session], Any]


def nothing(session: Session) -> None:
    """Not even a look."""


# -- what a request costs --


@pytest.mark.parametrize(
    ("stored", "action", "verbs"),
    [
        (False, nothing, []),
        (False, dict, []),
        (False, lambda s: s.get("a"), []),
        (False, lambda s: (s.__setitem__("a", 1), s.pop("a")), []),
        (False, Session.logout, []),
        (False, Session.clear, []),
        (False, Session.rotate, []),
        (False, write, ["create"]),
        (False, lambda s: s.login("ann"), ["create"]),
        (True, nothing, ["load"]),
        (True, dict, ["load"]),
        (True, write, ["load", "replace"]),
        (True, Session.rotate, ["load", "replace"]),
        (True, lambda s: s.login("ann"), ["load", "replace"]),
        (True, Session.logout, ["load", "delete"]),
        (True, Session.clear, ["load", "delete"]),
        (True, lambda s: s.pop("a"), ["load", "delete"]),
    ],
    ids=[
        "new, not looked at",
        "new, read",
        "new, asked for a name",
        "new, written and taken back",
        "new, logout",
        "new, clear",
        "new, rotate",
        "new, written",
        "new, login",
        "loaded, not looked at",
        "loaded, read",
        "loaded, written",
        "loaded, rotate",
        "loaded, login",
        "loaded, logout",
        "loaded, cleared",
        "loaded, emptied",
    ],
)
def test_what_a_request_costs(stored: bool, action: Action, verbs: list[str]) -> None:
    world = World()
    token = world.begin(a=1) if stored else None
    cookie = world.request(token, action)
    assert world.store.verbs == verbs
    if verbs in ([], ["load"]):
        assert cookie is None


def test_a_logout_without_a_look_loads_first_because_the_secret_must_be_checked() -> None:
    world = World()
    session = world.manager.begin(world.begin(a=1), Session)
    session.logout()
    assert world.manager.commit(session) == Cookie(None)
    assert world.store.verbs == ["load", "delete"]
    assert world.size == 0


def test_a_session_that_was_not_read_is_not_touched_either() -> None:
    world = World(idle_timeout=HOUR)
    token = world.begin(a=1)
    world.clock.advance(HOUR / 2)
    session = world.manager.begin(token, Session)
    assert world.manager.commit(session) is None
    assert world.store.verbs == []


# -- explicit saves --


def test_an_explicit_save_of_a_new_session_stores_it_empty() -> None:
    world = World(keep_empty=True)
    state = world.manager.begin_state(None)
    token = token_of(world.manager.save(state, {}, force=True))
    assert world.size == 1
    assert status(world.open(token)) is Status.LOADED


def test_an_explicit_save_that_changes_nothing_is_a_throttled_touch() -> None:
    world = World(idle_timeout=HOUR, touch_on_read=False)
    token = world.begin(a=1)
    for seconds, verbs in ((1, ["load"]), (HOUR / 10, ["load", "replace"])):
        world.clock.advance(seconds)
        world.store.forget()
        state = world.manager.begin_state(token)
        world.manager.load(state)
        world.manager.save(state, state.decode_attributes(), force=True)
        assert world.store.verbs == verbs


# -- several commits of one request --


def test_each_commit_stores_what_came_since_the_last() -> None:
    world = World()
    session = world.open()
    session["a"] = [1]
    token = token_of(world.manager.commit(session))
    session["a"].append(2)
    assert token_of(world.manager.commit(session)) == token
    del session["a"]
    session["b"] = 3
    world.manager.commit(session)
    assert world.open(token) == {"b": 3}
    assert world.store.verbs == ["create", "replace", "replace", "load"]


def test_a_second_commit_keeps_what_another_request_wrote_before_the_first() -> None:
    world = World(merge={"cart": lambda base, theirs, ours: sorted({*theirs, *ours})})
    token = world.begin(cart=[1])
    session = world.open(token)
    world.request(token, lambda other: other.update(cart=[1, 2], other=True))
    session["cart"].append(3)
    world.manager.commit(session)
    assert world.open(token) == {"cart": [1, 2, 3], "other": True}

    session["cart"].append(4)
    world.manager.commit(session)
    assert world.open(token) == {"cart": [1, 2, 3, 4], "other": True}


# -- what cannot be stored --


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"items": [0, {"price": object()}]}, TypeError),
        ("\ud800", TypeError),
        (b"x" * 2000, SessionTooLarge),
    ],
    ids=["an object", "a lone surrogate", "too large"],
)
def test_what_cannot_be_stored_is_an_error_before_the_network(
    value: Any, error: type[Exception], new: bool
) -> None:
    world = World(max_size=1000)
    token = None if new else world.begin(a=1)
    session = world.open(token)
    world.store.forget()
    session["cart"] = value
    with pytest.raises(error, match="cart"):
        world.manager.commit(session)
    assert world.store.verbs == []
    if token is not None:
        assert world.open(token) == {"a": 1}


def test_after_such_an_error_the_request_may_mend_it_and_commit() -> None:
    world = World()
    session = world.open()
    session["a"] = object()
    with pytest.raises(TypeError):
        world.manager.commit(session)
    session["a"] = 1
    assert world.open(token_of(world.manager.commit(session))) == {"a": 1}


@pytest.mark.parametrize("name", [1, None, ("a", "tuple"), b"bytes"])
def test_names_need_not_be_text(name: Any) -> None:
    world = World()
    session: Any = world.open()
    session[name] = 1
    session[str(name)] = 2
    assert dict(world.open(token_of(world.manager.commit(session)))) == {name: 1, str(name): 2}


# -- errors of the store leave the old record whole --


@pytest.mark.parametrize("step", [raises(StoreUnavailable("down")), exceeds_deadline])
def test_a_failed_save_leaves_the_old_record_whole_and_may_be_tried_again(step: Any) -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.on("replace", step)
    with pytest.raises(StoreUnavailable):
        world.manager.commit(session)
    assert world.open(token) == {"a": 1}
    assert token_of(world.manager.commit(session)) == token
    assert world.open(token) == {"a": 1, "b": 2}


def test_values_beside_a_session_that_was_never_loaded_are_not_compared_with_anything() -> None:
    world = World()
    token = world.begin(a=1)
    state = world.manager.begin_state(token)
    assert world.manager.save(state, {"a": 2}) is None
    assert world.store.verbs == []
    assert world.open(token) == {"a": 1}
