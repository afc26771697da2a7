"""What goes in comes out, same value and same type; junk is an error, within bounds."""

from __future__ import annotations

import builtins
import contextlib
import sys
import tracemalloc
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import ormsgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from sessionstore.core import codec
from sessionstore.core.errors import CodecError
from sessionstore.core.extensions import SafeText
from tests.support.exact import exact


def round_trip(value: Any) -> Any:
    return codec.decode(codec.encode(value))


# -- what goes in comes out --

fixed_zones = st.builds(
    timezone,
    st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)),
) | st.builds(timezone, st.just(timedelta(hours=1)), st.text(max_size=5))
zones = st.none() | st.just(UTC) | fixed_zones | st.timezones()
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1])
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.decimals(allow_nan=True, allow_infinity=True)
    | st.uuids()
    | st.text(max_size=10).map(Markup)
)


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:  # Decimal("sNaN")
        return False
    return True


hashables = st.recursive(
    scalars.filter(_hashable),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.dictionaries(hashables, inner, max_size=4)
        | st.sets(hashables, max_size=4)
        | st.frozensets(hashables, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
@example({1: "a", "1": "b"})
@example({"a": [b"bytes beside", ("a", "tuple"), {1, 2}, 2**100]})
@example({(): {frozenset(): {b"": None}}})
def test_every_type_comes_back_the_same_however_it_is_nested(value: Any) -> None:
    data = codec.encode(value)
    again = codec.decode(data)
    assert exact(again) == exact(value)
    assert codec.encode(again) == data, "an unchanged value would look changed"


EXAMPLES: dict[str, Any] = {
    "None": None,
    "bool": True,
    "int": -1,
    "big int": 10**1000,
    "negative big int": -(2**64),
    "float": 1.5,
    "negative zero": -0.0,
    "text": "caf\u00e9 \U0001f36a \0",
    "bytes": b"\x00\xff",
    "list": [1, [2, []]],
    "tuple": (1, (2, ())),
    "dict": {"b": 1, "a": {}},
    "dict with other keys": {1: "a", "1": "b", None: "c", (1, 2): "d", 1.5: "e", b"1": "f"},
    "set": {3, 1, "x", None},
    "frozenset": frozenset({frozenset({1}), ()}),
    "datetime": datetime(2024, 2, 29, 23, 59, 59, 999999),  # noqa: DTZ001
    "datetime, UTC": datetime(1, 1, 1, tzinfo=UTC),
    "datetime, offset": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    "datetime, named offset": datetime(2024, 1, 1, tzinfo=timezone(timedelta(0), "GMT")),
    "datetime, zone": datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    "datetime, fold": datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    "date": date(9999, 12, 31),
    "time": time(1, 2, 3, 4, fold=1),
    "time, UTC": time(1, 2, tzinfo=UTC),
    "timedelta": timedelta(days=-1, microseconds=1),
    "Decimal": Decimal("1.10"),
    "Decimal, signalling": Decimal("-sNaN123"),
    "UUID": UUID(int=2**128 - 1),
    "Markup": Markup("<b>bold</b>"),
}


@pytest.mark.parametrize("value", EXAMPLES.values(), ids=EXAMPLES)
def test_examples_of_each_type(value: Any) -> None:
    assert exact(round_trip(value)) == exact(value)
    assert exact(round_trip({"nested": [value]})) == exact({"nested": [value]})
    deep = ((((((value, {"a": value}, {1: value}),),),),),)
    assert exact(round_trip(deep)) == exact(deep)


def test_true_one_and_its_text_are_kept_apart() -> None:
    assert round_trip({1: "int", "1": "text"}) == {1: "int", "1": "text"}
    assert [type(item) for item in round_trip([True, 1, 1.0])] == [bool, int, float]


@given(st.lists(hashables, max_size=8, unique=True), st.randoms(use_true_random=False))
def test_equal_sets_are_equal_bytes(items: list[Any], random: Any) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    assert codec.encode(set(items)) == codec.encode(set(shuffled))
    assert codec.encode([frozenset(items)]) == codec.encode([frozenset(shuffled)])


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 65535, 65536])
def test_sets_of_any_size(count: int) -> None:
    assert round_trip(set(range(count))) == set(range(count))
    assert round_trip([set(range(count)), b""]) == [set(range(count)), b""]


def test_the_order_of_a_dict_is_part_of_its_value() -> None:
    assert list(round_trip({"b": 1, "a": 2})) == ["b", "a"]
    assert list(round_trip({2: 1, 1: 2})) == [2, 1]


# -- safe HTML comes back safe, with whichever library there is --


class SafeString(str):
    """Looks like Django's own, which is recognised by name."""

    __slots__ = ()
    __module__ = "django.utils.safestring"


@pytest.fixture
def no_markupsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "markupsafe", None)


def test_djangos_safe_string_comes_back_as_markup() -> None:
    again = round_trip([SafeString("<b>")])
    assert exact(again) == exact([Markup("<b>")])
    assert codec.encode(again) == codec.encode([SafeString("<b>")])


@pytest.mark.usefixtures("no_markupsafe")
def test_without_markupsafe_it_comes_back_as_djangos(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("django.utils.safestring")
    monkeypatch.setattr(module, "SafeString", SafeString, raising=False)
    monkeypatch.setitem(sys.modules, "django.utils.safestring", module)
    again = round_trip(SafeString("<b>"))
    assert type(again) is SafeString
    assert again == "<b>"


@pytest.mark.usefixtures("no_markupsafe")
def test_without_either_it_still_says_that_it_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "django.utils.safestring", raising=False)
    again = round_trip(Markup("<b>"))
    assert type(again) is SafeText
    assert again.__html__() == "<b>"
    assert codec.encode(again) == codec.encode(Markup("<b>"))


# -- what was not encoded here --


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xc1")
@example(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93.")
def test_junk_is_a_value_or_a_codec_error(data: bytes) -> None:
    with contextlib.suppress(CodecError):
        codec.decode(data)


@given(tag=st.integers(0, 127), data=st.binary(max_size=40) | values.map(codec.encode))
def test_junk_in_any_extension_is_a_value_or_a_codec_error(tag: int, data: bytes) -> None:
    with contextlib.suppress(CodecError):
        codec.decode(ormsgpack.packb(ormsgpack.Ext(tag, data)))


@given(values, st.data())
def test_a_truncated_value_is_never_the_value(value: Any, data: st.DataObject) -> None:
    encoded = codec.encode(value)
    length = data.draw(st.integers(0, len(encoded) - 1))
    try:
        shorter = codec.decode(encoded[:length])
    except CodecError:
        return
    assert exact(shorter) != exact(value)


def _nested_extensions(levels: int, lists: int = 1) -> bytes:
    """Tuples, in so many lists each."""
    data = b"\x90"
    for _ in range(levels):
        data = ormsgpack.packb(ormsgpack.Ext(1, b"\x91" * lists + data))
    return data


BOMBS = {
    "an array that announces 4 G items": b"\xdd\xff\xff\xff\xff",
    "a map that announces 4 G items": b"\xdf\xff\xff\xff\xff",
    "bytes that announce 4 GiB": b"\xc6\xff\xff\xff\xff",
    "text that announces 4 GiB": b"\xdb\xff\xff\xff\xff",
    "an extension that announces 4 GiB": b"\xc9\xff\xff\xff\xff\x01",
    "arrays 100,000 deep": b"\x91" * 100_000 + b"\x01",
    "maps 100,000 deep": b"\x81\xa1a" * 100_000 + b"\x01",
    "extensions 2,000 deep": _nested_extensions(2000),
    "extensions 400 deep, in 1,000 lists each": _nested_extensions(400, lists=1000),
    "extensions 2,000 deep, with nothing between": _nested_extensions(2000, lists=0),
    "extensions that are no arrays": _nested_extensions(6, lists=0).replace(b"\x90", b"\x01"),
    "many announced arrays": b"\xdd\x00\xff\xff\xff" * 1000,
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_bombs_cost_no_more_than_their_size_allows(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            codec.decode(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20


def test_an_integer_of_a_million_digits_is_linear_and_comes_back() -> None:
    value = 10**1_000_000
    assert round_trip(value) == value


def test_no_level_is_left_uncounted_where_tuples_and_lists_alternate() -> None:
    """A stack is as deep as all of them together: this one would have ended the process."""
    codec.decode(_nested_extensions(40))
    for lists in (3, 1000):
        with pytest.raises(CodecError):
            codec.decode(_nested_extensions(50, lists))


def test_codec_errors_show_no_content() -> None:
    with pytest.raises(CodecError, match=r"^not an encoded value: \w+$") as caught:
        codec.decode(b"\xa6sec" + b"\xff" * 3)
    assert "sec" not in str(caught.value)


def test_nothing_is_imported_to_read_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    plain_import = builtins.__import__

    def noted(name: str, *arguments: Any) -> Any:
        imported.append(name)
        return plain_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", noted)
    round_trip([uuid4(), Decimal(1), {1}, b"x", Markup("x"), datetime.now(UTC)])
    assert not {"pickle", "marshal"} & set(imported)


@pytest.mark.parametrize(
    "value",
    [
        [{"sku": "a1", "price": 0xC4C5, "seen": (number, 0xC6)} for number in range(1000)],
        [[b"bytes", {"more": {"bytes": b"x"}}] for _ in range(1000)],
    ],
    ids=["numbers", "bytes"],
)
def test_what_looks_like_bytes_does_not_make_it_slow(value: Any) -> None:
    """Each item would be looked at in Python: a session of 64 KB took 5 ms to read."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        packed = codec.encode(value)
    finally:
        sys.setprofile(before)
    assert codec.decode(packed) == value
    assert calls < 5 * len(value)
