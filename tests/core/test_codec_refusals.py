"""What would not come back the same is refused, with its path."""

from __future__ import annotations

import enum
import zoneinfo
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from markupsafe import Markup

from sessionstore.core import codec
from sessionstore.core.errors import UnstorableValue


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:  # Decimal("sNaN")
        return False
    return True


def round_trip(value: Any) -> Any:
    return codec.decode(codec.encode(value))


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Flavour(enum.StrEnum):
    SWEET = "sweet"


@dataclass
class Product:
    price: int


Point = namedtuple("Point", "x y")


class TextSubclass(str):
    __slots__ = ()


class PlusOne(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, when: datetime | None) -> None:
        return None

    def tzname(self, when: datetime | None) -> str:
        return "plus one"


def subclass_of(kind: type, *arguments: Any) -> Any:
    return type("Sub", (kind,), {"__module__": "app"})(*arguments)


IN_THE_WAY: dict[str, tuple[Any, str]] = {
    "object": (object(), "builtins.object is not one of the types a session can hold"),
    "function": (len, "builtins.builtin_function_or_method is not one of the types"),
    "complex": (1j, "builtins.complex is not one of the types"),
    "enum": (Colour.RED, "Colour is an enum: store its .value"),
    "int enum": (Level.LOW, "Level is an enum: store its .value"),
    "text enum": (Flavour.SWEET, "Flavour is an enum: store its .value"),
    "dataclass": (Product(1), "Product is not one of the types"),
    "named tuple": (Point(1, 2), "Point would come back as tuple: convert it first"),
    "bytearray": (bytearray(b"x"), "bytearray would come back as bytes: store bytes(...)"),
    "memoryview": (memoryview(b"x"), "memoryview would come back as bytes: store bytes(...)"),
    "OrderedDict": (OrderedDict(a=1), "collections.OrderedDict would come back as dict"),
    "defaultdict": (defaultdict(int), "collections.defaultdict would come back as dict"),
    "text subclass": (TextSubclass("x"), "TextSubclass would come back as str"),
    "int subclass": (subclass_of(int, 1), "app.Sub would come back as int"),
    "float subclass": (subclass_of(float, 1.5), "app.Sub would come back as float"),
    "bytes subclass": (subclass_of(bytes, b"x"), "app.Sub would come back as bytes"),
    "list subclass": (subclass_of(list), "app.Sub would come back as list"),
    "dict subclass": (subclass_of(dict), "app.Sub would come back as dict"),
    "set subclass": (subclass_of(set), "app.Sub would come back as set"),
    "frozenset subclass": (subclass_of(frozenset), "app.Sub would come back as frozenset"),
    "datetime subclass": (
        subclass_of(datetime, 2024, 1, 1),
        "app.Sub would come back as datetime: convert it first",
    ),
    "date subclass": (subclass_of(date, 2024, 1, 1), "app.Sub would come back as date:"),
    "UUID subclass": (subclass_of(UUID, "0" * 32), "app.Sub would come back as UUID"),
    "other time zones": (
        datetime(2024, 1, 1, tzinfo=PlusOne()),
        "only ZoneInfo and fixed-offset time zones come back the same",
    ),
    "other time zones, time": (
        time(1, tzinfo=PlusOne()),
        "only ZoneInfo and fixed-offset time zones come back the same",
    ),
    "lone surrogate": ("a\ud800", "the text has a lone surrogate"),
    "lone surrogate, markup": (Markup("\ud800"), "the text has a lone surrogate"),
}


@pytest.mark.parametrize(("value", "why"), IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_refused_saying_why_and_where(value: Any, why: str) -> None:
    def refused(container: Any, path: str) -> None:
        with pytest.raises(UnstorableValue) as caught:
            codec.encode(container, "cart")
        assert caught.value.path == path
        assert str(caught.value).startswith(f"session value {path} cannot be stored: ")
        assert why in str(caught.value)
        assert isinstance(caught.value, TypeError)

    refused(value, "cart")
    refused({"items": [0, 1, 2, {"price": value}]}, "cart.items[3].price")
    refused([b"bytes", value], "cart[1]")
    refused((1, (value,)), "cart[1][0]")
    refused({"with space": {"1": value}}, "cart['with space']['1']")
    refused({1: {(2, 3): value}}, "cart[1][(2, 3)]")
    if _hashable(value):
        refused({"tags": {value}}, "cart.tags (an element)")
        refused([frozenset({value})], "cart[0] (an element)")
        refused({"by": {value: 1}}, "cart.by (a key)")


def test_a_zone_without_a_name_is_refused() -> None:
    files = (Path(folder, "Europe/Berlin") for folder in zoneinfo.TZPATH)
    with next(path for path in files if path.exists()).open("rb") as file:
        zone = ZoneInfo.from_file(file)
    with pytest.raises(UnstorableValue, match="only ZoneInfo and fixed-offset"):
        codec.encode(datetime(2024, 1, 1, tzinfo=zone))


# -- depth --


def nested(levels: int, wrap: Any) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


WRAPS: dict[str, Any] = {
    "list": lambda value: [value],
    "dict": lambda value: {"a": value},
    "dict with another key": lambda value: {1: value},
    "tuple": lambda value: (value,),
    "frozenset": lambda value: frozenset({value}),
    "list beside bytes": lambda value: [value, b"x"],
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_values_nest_a_hundred_levels_deep(wrap: Any) -> None:
    value = nested(100, wrap)
    assert round_trip(value) == value


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_deeper_nesting_is_refused_not_a_crash(wrap: Any) -> None:
    with pytest.raises(UnstorableValue, match="nested deeper than 100 levels"):
        codec.encode(nested(500, wrap))


def test_levels_of_different_kinds_count_together() -> None:
    with pytest.raises(UnstorableValue, match="nested deeper than 100 levels"):
        codec.encode(nested(40, lambda value: ([[value]],)))


def test_a_key_may_be_an_integer_that_python_writes_no_digits_of() -> None:
    """sys.set_int_max_str_digits(): by default, 4300."""
    key = 10**5000
    assert round_trip({key: 1, (key,): 2}) == {key: 1, (key,): 2}
    with pytest.raises(UnstorableValue) as caught:
        codec.encode({key: object()}, "cart")
    assert caught.value.path == "cart[<int>]"


def test_a_value_that_contains_itself_is_refused() -> None:
    cart: dict[str, Any] = {}
    cart["self"] = cart
    with pytest.raises(UnstorableValue, match="or contains itself") as caught:
        codec.encode(cart, "cart")
    assert caught.value.path.startswith("cart.self.self.")
    loop: list[Any] = []
    loop.extend([loop, loop])
    with pytest.raises(UnstorableValue, match="or contains itself"):
        codec.encode(loop)
