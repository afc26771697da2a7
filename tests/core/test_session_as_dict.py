"""``Session`` is a dict in every respect: tested against the whole dict API of this Python."""

from __future__ import annotations

import copy
import json
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Mapping
from copy import deepcopy
from io import StringIO
from typing import Any

import pytest

from sessionstore import Session
from tests.core.support import CONTENT, unread

READS: dict[str, Callable[[Any], Any]] = {
    "__contains__": lambda s: ("a" in s, "x" in s),
    "__eq__": lambda s: (s == {"a": 1, "b": [2]}, s == {"a": 1}, s == 5),
    "__ne__": lambda s: (s != {"a": 1, "b": [2]}, s != {"a": 1}),
    "__getitem__": lambda s: s["a"],
    "__iter__": list,
    "__len__": len,
    "__or__": lambda s: (s | {"c": 3}, s | s),
    "__ror__": lambda s: {"a": 0, "z": 26} | s,
    "__reversed__": lambda s: list(reversed(s)),
    "copy": lambda s: s.copy(),
    "get": lambda s: (s.get("a"), s.get("x"), s.get("x", 5)),
    "items": lambda s: list(s.items()),
    "keys": lambda s: list(s.keys()),
    "values": lambda s: list(s.values()),
}
WRITES: dict[str, Callable[[Any], Any]] = {
    "__setitem__": lambda s: s.__setitem__("c", 3),
    "__delitem__": lambda s: s.__delitem__("a"),
    "__ior__": lambda s: s.__ior__({"a": 5, "c": 3}) is s,
    "clear": lambda s: s.clear(),
    "pop": lambda s: (s.pop("a"), s.pop("x", None)),
    "popitem": lambda s: s.popitem(),
    "setdefault": lambda s: (s.setdefault("a", 9), s.setdefault("c", 3)),
    "update": lambda s: s.update({"c": 3}, a=7),
}
# Neither look at the content nor change it, or are not defined for dicts.
INERT = {"__class__", "__class_getitem__", "__delattr__", "__dir__", "__doc__", "__format__"}
INERT |= {"__ge__", "__getattribute__", "__getstate__", "__gt__", "__hash__", "__init__"}
INERT |= {"__init_subclass__", "__le__", "__lt__", "__new__", "__reduce__", "__reduce_ex__"}
INERT |= {"__repr__", "__setattr__", "__sizeof__", "__str__", "__subclasshook__", "fromkeys"}

# What the language and its library do with a dict, mostly by C code.
USES: dict[str, Callable[[Any], Any]] = {
    "json.dumps": json.dumps,
    # Read again: C code may write the line breaks of an unread session that turns out empty.
    "json.dumps, indented": lambda s: json.loads(json.dumps(s, indent=1)),
    "json.dumps, nested": lambda s: json.dumps({"session": s}),
    "json.dump": lambda s: json.dump(s, StringIO()),
    "dict()": dict,
    "dict(pairs)": lambda s: dict(s.items()),
    "{**s}": lambda s: {**s},
    "f(**s)": lambda s: dict(**s),
    "dict.update": lambda s: _updated({"a": 0}, s),
    "OrderedDict": OrderedDict,
    "ChainMap": lambda s: dict(ChainMap({}, s)),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "list": list,
    "tuple": tuple,
    "set": set,
    "sorted": sorted,
    "bool": bool,
    "a comprehension": lambda s: {name: value for name, value in s.items()},  # noqa: C416
    "the keys' algebra": lambda s: s.keys() & {"a", "x"},
    "match": lambda s: _matched(s),  # noqa: PLW0108 (it is defined below)
    "str.format": "{a}".format_map,
    "% formatting": lambda s: "%(a)s" % s,  # noqa: UP031
    "isinstance": lambda s: isinstance(s, dict) and isinstance(s, Mapping),
    "comparison with < ": lambda s: _error(lambda: s < {}),
    "hash": lambda s: _error(lambda: hash(s)),
    "a missing name": lambda s: _error(lambda: s["x"]),
}


def _updated(target: dict[str, Any], source: Any) -> dict[str, Any]:
    target.update(source)
    return target


def _matched(value: Any) -> Any:
    match value:
        case {"a": a, **rest}:
            return a, rest
    return "no match"


def _error(call: Callable[[], Any]) -> type[BaseException] | None:
    try:
        call()
    except (KeyError, TypeError) as error:
        return type(error)
    return None


CONTENTS = pytest.mark.parametrize("content", [CONTENT, {}], ids=["stored", "new"])


def outcome(call: Callable[[Any], Any], target: Any) -> Any:
    """What a call does: its result, or the error's type."""
    try:
        return call(target)
    except (KeyError, TypeError) as error:
        return type(error)


def test_every_name_of_dict_is_accounted_for() -> None:
    assert set(dir(dict)) == READS.keys() | WRITES.keys() | INERT, (
        "this Python's dict has other methods: Session must read before, or mark, in each"
    )
    for name in READS.keys() | WRITES.keys():
        assert name in vars(Session), f"{name} would bypass loading"


@CONTENTS
@pytest.mark.parametrize("name", READS)
def test_every_reading_method_reads_first(name: str, content: dict[str, Any]) -> None:
    session: Any = unread(content)
    assert not session.accessed
    assert outcome(READS[name], session) == outcome(READS[name], dict(content))
    assert session.accessed
    assert not session.modified


@CONTENTS
@pytest.mark.parametrize("name", WRITES)
def test_every_mutator_reads_first_and_does_what_a_dict_does(
    name: str, content: dict[str, Any]
) -> None:
    session, plain = unread(content), deepcopy(content)
    if name == "__ior__":
        assert session.__ior__({"a": 5, "c": 3}) is session
        plain |= {"a": 5, "c": 3}
    else:
        assert outcome(WRITES[name], session) == outcome(WRITES[name], plain)
    assert dict(session) == plain
    assert list(session) == list(plain)
    assert session.accessed
    changed = plain != content or name in ("clear", "update", "__ior__")
    assert session.modified is changed


@CONTENTS
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_to_everything_that_looks_at_it_it_is_a_dict(use: Any, content: dict[str, Any]) -> None:
    session = unread(content)
    assert outcome(use, session) == outcome(use, dict(content))
    assert not session.modified


@pytest.mark.parametrize("argument", [{"c": 3}, [("c", 3)], {"c": 3}.items()], ids=repr)
def test_update_takes_whatever_a_dict_takes(argument: Any) -> None:
    session = unread(CONTENT)
    session.update(argument, d=4)
    assert session == {**CONTENT, "c": 3, "d": 4}
    session |= argument
    assert session.modified
    with pytest.raises(TypeError):
        session.update(5)


def test_two_unread_sessions_compare_by_content() -> None:
    assert unread(CONTENT) == unread(CONTENT)
    assert unread(CONTENT) != unread({})
    assert unread({}) == unread({})


@pytest.mark.parametrize("make", [Session.copy, copy.copy, deepcopy], ids=["own", "copy", "deep"])
def test_a_copy_is_a_plain_dict(make: Callable[[Session], Any]) -> None:
    session = unread(CONTENT)
    copied = make(session)
    assert type(copied) is dict
    copied["a"] = 2
    assert session["a"] == 1
    if make is deepcopy:
        copied["b"].append(3)
        assert not session.modified


@pytest.mark.parametrize("other", [5, None, [("a", 1)]])
def test_it_joins_with_dicts_only(other: Any) -> None:
    joins: tuple[Callable[[Any], Any], ...] = (lambda s: s | other, lambda s: other | s)
    for join in joins:
        with pytest.raises(TypeError):
            join(unread(CONTENT))
