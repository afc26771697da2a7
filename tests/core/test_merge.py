"""Three-way merge: the two requests' changes, attribute by attribute."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionstore.core import codec, merge
from sessionstore.core.errors import UnstorableValue
from sessionstore.core.merge import Delta, MergeFunction, merge_appended


def encoded(attributes: dict[str, Any]) -> dict[str, bytes]:
    return {name: codec.encode(value) for name, value in attributes.items()}


def merged(
    base: dict[str, Any],
    theirs: dict[str, Any],
    ours: dict[str, Any],
    *,
    replaces: bool = False,
    **functions: MergeFunction,
) -> dict[str, Any]:
    """What becomes of ``base`` when it was changed to ``theirs`` and, meanwhile, to ``ours``."""
    changed = {name: value for name, value in ours.items() if base.get(name) != value}
    delta = Delta(encoded(changed), set(base) - set(ours), replaces)
    result = merge.apply(delta, encoded(theirs), encoded(base), functions)
    return {name: codec.decode(data) for name, data in result.items()}


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "expected"),
    [
        ({"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}),
        ({}, {"t": 1}, {"o": 2}, {"t": 1, "o": 2}),
        ({"a": 1}, {"a": 2}, {"a": 1, "o": 3}, {"a": 2, "o": 3}),
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 1}, {}),
        ({"a": 1}, {}, {"a": 1, "o": 2}, {"o": 2}),
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3}),
        ({"a": 1}, {"a": 2}, {}, {}),
        ({"a": 1}, {}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {}, {}),
    ],
    ids=[
        "nobody changed anything",
        "each set another attribute",
        "only they changed it",
        "each removed another attribute",
        "they removed, we set another",
        "both set one: the later writer wins",
        "they set, we removed: the later writer wins",
        "they removed, we set: the later writer wins",
        "both removed",
    ],
)
def test_changes_of_both_sides_survive(
    base: dict[str, Any], theirs: dict[str, Any], ours: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merged(base, theirs, ours) == expected


contents = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2))


@given(contents, contents, contents)
def test_no_change_of_one_side_alone_is_ever_lost(
    base: dict[str, Any], theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    result = merged(base, theirs, ours)
    for name in base | theirs | ours:
        if ours.get(name) == base.get(name):
            assert result.get(name) == theirs.get(name)
        else:
            assert result.get(name) == ours.get(name)


def test_clear_followed_by_writes_replaces_everything() -> None:
    assert merged({"a": 1}, {"a": 1, "t": 1}, {"o": 1}, replaces=True) == {"o": 1}


# -- merge functions --


def noting(calls: list[tuple[Any, Any, Any]], result: Any) -> MergeFunction:
    def function(base: Any, theirs: Any, ours: Any) -> Any:
        calls.append((base, theirs, ours))
        return result

    return function


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "call"),
    [
        ({"n": 1}, {"n": 2}, {"n": 3}, (1, 2, 3)),
        ({}, {"n": 2}, {"n": 3}, (None, 2, 3)),
        ({"n": 1}, {}, {"n": 3}, (1, None, 3)),
        ({"n": 1}, {"n": 2}, {}, (1, 2, None)),
        ({"n": 1}, {}, {}, (1, None, None)),
    ],
)
def test_a_function_decides_where_both_sides_changed_one_attribute(
    base: dict[str, Any], theirs: dict[str, Any], ours: dict[str, Any], call: Any
) -> None:
    calls: list[Any] = []
    assert merged(base, theirs, ours, n=noting(calls, "merged")) == {"n": "merged"}
    assert calls == [call]


@pytest.mark.parametrize(
    ("base", "theirs", "ours"),
    [
        ({"n": 1}, {"n": 1}, {"n": 3}),
        ({"n": 1}, {"n": 2}, {"n": 1}),
        ({"n": 1}, {"n": 1, "t": 1}, {"n": 1, "o": 1}),
        ({}, {"t": 1}, {"o": 1}),
    ],
)
def test_a_function_is_not_asked_where_only_one_side_changed(
    base: dict[str, Any], theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    def function(*values: Any) -> Any:
        pytest.fail(f"called with {values}")

    assert merged(base, theirs, ours, n=function) == merged(base, theirs, ours)


def test_none_as_the_result_removes_the_attribute() -> None:
    assert merged({"n": 1}, {"n": 2}, {"n": 3}, n=noting([], None)) == {}


def test_a_result_that_cannot_be_stored_is_refused_by_its_name() -> None:
    with pytest.raises(UnstorableValue, match="session value n cannot be stored"):
        merged({"n": 1}, {"n": 2}, {"n": 3}, n=noting([], object()))


def test_a_function_may_change_its_arguments() -> None:
    def union(base: Any, theirs: list[int], ours: list[int]) -> list[int]:
        theirs.extend(ours)
        return theirs

    assert merged({"n": []}, {"n": [1]}, {"n": [2]}, n=union) == {"n": [1, 2]}


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "expected"),
    [
        (None, ["t"], ["o"], ["t", "o"]),
        (["a"], ["a", "t"], ["a", "o"], ["a", "t", "o"]),
        (["a"], ["a", "t"], None, ["t"]),
        (["a"], None, ["a", "o"], ["o"]),
        (["a"], None, None, None),
        (["a"], [], [], None),
        (["a"], ["t"], ["o"], ["t", "o"]),
    ],
    ids=[
        "both began",
        "both appended",
        "they appended, we showed all",
        "they showed all, we appended",
        "both showed all",
        "both emptied",
        "both replaced",
    ],
)
def test_flashed_messages_are_joined_and_each_is_shown_once(
    base: Any, theirs: Any, ours: Any, expected: Any
) -> None:
    assert merge_appended(base, theirs, ours) == expected


def test_a_delta_is_true_if_it_changes_anything_and_shows_no_values() -> None:
    assert not Delta()
    assert Delta(changed={"a": b"secret"})
    assert Delta(removed={"a"})
    assert Delta(replaces=True)
    assert "secret" not in repr(Delta(changed={"a": b"secret"}))
