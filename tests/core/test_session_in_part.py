"""Values asked for one by one are decoded one by one, and nobody can tell the difference."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionstore import Session
from sessionstore.core import codec
from sessionstore.core.state import Part, State
from tests.core.support import World

VALUES: dict[str, Any] = {"a": 1, "b": [2], "c": {"d": [3]}, "e": "text"}
NAMES = (*VALUES, "x", "y")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is decoded by itself from now on."""
    found: list[Any] = []
    decode = codec.decode

    def noted(data: bytes) -> Any:
        found.append(decode(data))
        return copy.deepcopy(found[-1])

    monkeypatch.setattr(codec, "decode", noted)
    return found


def begun(world: World) -> Session:
    session = world.manager.begin(world.begin(**VALUES), Session)
    world.manager.load(session.state)
    return session


def stored(world: World, session: Session) -> dict[str, Any]:
    assert session.state.token is not None
    return dict(world.open(session.state.token.text))


def test_only_what_is_asked_for_is_decoded(decoded: list[Any]) -> None:
    session = begun(World())
    decoded.clear()
    assert session["a"] == session["a"] == session.get("a") == 1
    assert "b" in session
    assert session.get("x") is None
    session["e"] = "new"
    assert session.setdefault("c", 5) == {"d": [3]}
    assert session.subject is None
    assert decoded == [1, {"d": [3]}]


def test_what_was_not_looked_at_is_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    session = begun(world)
    session["n"] = session["a"]
    encoded: list[object] = []
    encode = codec.encode

    def noted(value: Any, name: object = "") -> bytes:
        encoded.append(name)
        return encode(value, name)

    monkeypatch.setattr(codec, "encode", noted)
    world.manager.commit(session)
    monkeypatch.undo()
    assert encoded == ["n"]
    assert stored(world, session) == VALUES | {"n": 1}


def test_a_change_inside_of_a_value_that_was_asked_for_alone_is_found() -> None:
    world = World()
    session = begun(world)
    session["c"]["d"].append(4)
    assert session.modified
    world.manager.commit(session)
    assert stored(world, session) == VALUES | {"c": {"d": [3, 4]}}


def test_what_was_handed_out_stays_the_same_object_when_the_rest_is_read() -> None:
    world = World()
    session = begun(world)
    nested = session["c"]
    assert list(session) == list(VALUES)
    assert session["c"] is nested
    nested["d"].append(4)
    world.manager.commit(session)
    assert stored(world, session) == VALUES | {"c": {"d": [3, 4]}}


def test_an_adapter_may_peek_without_having_read() -> None:
    session = begun(World())
    assert session.peek("a") is None, "nobody has looked at it yet"
    assert "a" in session
    session.accessed = False
    assert (session.peek("b"), session.peek("b"), session.peek("x")) == ([2], [2], None)
    assert len(session) == 4
    session.accessed = False
    assert (session.peek("b"), session.peek("x")) == ([2], None)
    assert not session.accessed


def test_a_subclass_may_know_what_is_missing() -> None:
    class Counting(Session):
        def __missing__(self, name: str) -> int:
            return 0

    world = World()
    session = world.manager.begin(world.begin(a=1), Counting)
    assert (session["a"], session["x"]) == (1, 0)


def test_a_commit_of_a_part_keeps_what_another_request_has_stored_meanwhile() -> None:
    world = World()
    session = begun(world)
    session["a"] += 1
    assert session.state.token is not None
    world.request(session.state.token.text, lambda other: other.update(b=[5], x=1))
    world.manager.commit(session)
    assert stored(world, session) == VALUES | {"a": 2, "b": [5], "x": 1}


# -- beside a dict --


def appended(target: Any, name: str) -> Any:
    value = target[name]
    return value.append(9) if isinstance(value, list) else value


ACTIONS: dict[str, Callable[[Any, str], Any]] = {
    "[]": lambda s, name: s[name],
    "get": lambda s, name: s.get(name, "default"),
    "in": lambda s, name: name in s,
    "[]=": lambda s, name: s.__setitem__(name, [7]),
    "append": appended,
    "setdefault": lambda s, name: s.setdefault(name, [8]),
    "update": lambda s, name: s.update({name: 6, "y": 7}),
    "pop": lambda s, name: s.pop(name),
    "del": lambda s, name: s.__delitem__(name),
    "list": lambda s, name: list(s),
    "json": lambda s, name: json.dumps(s),
    "clear": lambda s, name: s.clear(),
}
OFTEN = [name for name in ACTIONS if name not in ("list", "json", "clear")]
"""Little would be left in part else."""


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*ACTIONS, *OFTEN, *OFTEN, "commit"]),
            st.sampled_from(NAMES),
        ),
        max_size=12,
    )
)
def test_whatever_is_done_to_it_it_does_what_a_dict_does(steps: list[tuple[str, str]]) -> None:
    world = World(keep_empty=True)
    session, model = begun(world), copy.deepcopy(VALUES)
    for action, name in steps:
        if action == "commit":
            world.manager.commit(session)
            continue
        assert outcome(action, session, name) == outcome(action, model, name)
    before = copy.deepcopy(model)
    world.manager.commit(session)
    assert list(session.items()) == list(before.items())
    assert stored(world, session) == before


def outcome(action: str, target: Any, name: str) -> Any:
    try:
        return copy.deepcopy(ACTIONS[action](target, name))
    except KeyError as error:
        return type(error), error.args


# -- another thread of the same request --

MEANWHILE: dict[str, Callable[[Session], Any]] = {
    "read as a whole": dict,
    "a value is set": lambda session: session.__setitem__("y", 1),
    "a value is removed": lambda session: session.pop("a"),
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize(
    "read", [lambda session: session["c"], lambda session: session.get("c")], ids=["[]", "get"]
)
def test_what_is_read_while_another_thread_reads_the_rest_is_what_is_stored(
    read: Callable[[Session], Any], meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    session = begun(world)
    decode_into = State.decode_into

    def interrupted(state: State, part: Part, name: str) -> None:
        monkeypatch.undo()
        MEANWHILE[meanwhile](session)
        decode_into(state, part, name)

    assert session["e"] == "text"
    monkeypatch.setattr(State, "decode_into", interrupted)
    read(session)["d"].append(4)
    world.manager.commit(session)
    assert stored(world, session)["c"] == {"d": [3, 4]}


@pytest.mark.parametrize(
    "write",
    [lambda session: session.__setitem__("z", 1), lambda session: session.update(z=1)],
    ids=["[]", "update"],
)
def test_what_is_set_while_another_thread_reads_all_is_stored(
    write: Callable[[Session], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    session = begun(world)
    mark_modified = State.mark_modified

    def interrupted(state: State) -> None:
        mark_modified(state)
        dict(session)

    monkeypatch.setattr(State, "mark_modified", interrupted)
    write(session)
    world.manager.commit(session)
    assert stored(world, session) == {**VALUES, "z": 1}


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda session: session.__setitem__("z", 1),
        lambda session: session["c"]["d"].append(4),
        dict,
    ],
    ids=["set", "changed in place", "read as a whole"],
)
def test_what_another_thread_does_while_all_is_read_is_stored(
    meanwhile: Callable[[Session], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: dict[str, Any] = copy.deepcopy(VALUES)
    meanwhile(expected)  # type: ignore[arg-type]
    world = World()
    session = begun(world)
    decode_rest = State.decode_rest

    def interrupted(state: State, part: Part) -> dict[str, Any]:
        values = decode_rest(state, part)
        monkeypatch.undo()
        meanwhile(session)
        return values

    assert session["a"] == 1
    monkeypatch.setattr(State, "decode_rest", interrupted)
    session.keys()
    world.manager.commit(session)
    assert stored(world, session) == expected


@pytest.mark.parametrize(
    "first",
    [lambda session: session.__setitem__("z", 1), lambda session: session.update({"z": 1})],
    ids=["one value", "several"],
)
def test_two_threads_look_at_it_first(
    first: Callable[[Session], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    session = begun(world)
    ensure_loaded = State.ensure_loaded

    def interrupted(state: State) -> None:
        ensure_loaded(state)
        monkeypatch.undo()
        first(session)

    monkeypatch.setattr(State, "ensure_loaded", interrupted)
    session["y"] = 2
    world.manager.commit(session)
    assert stored(world, session) == {**VALUES, "y": 2, "z": 1}
