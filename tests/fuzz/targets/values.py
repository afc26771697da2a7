"""The codec of attributes: any bytes, and any value."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import ormsgpack
from markupsafe import Markup

from sessionstore.core import codec
from sessionstore.core.errors import CodecError, UnstorableValue
from sessionstore.core.extensions import MAX_DEPTH, QUICK_LEVELS
from tests.fuzz.source import Source
from tests.support.exact import exact

DAY: Final = timedelta(days=1)


def decoding(data: bytes) -> None:
    """Any bytes are a typed error, or a value that comes back the same from now on."""
    try:
        value = codec.decode(data)
    except CodecError:
        return
    deepest, extensions = depths(value)
    assert extensions <= MAX_DEPTH + QUICK_LEVELS
    assert deepest <= MAX_DEPTH + (QUICK_LEVELS + 1) * 1024
    try:
        encoded = codec.encode(value)
    except UnstorableValue as error:
        # Decoding is the more patient one.
        assert deepest > MAX_DEPTH, error
        return
    again = codec.decode(encoded)
    assert exact(again) == exact(value)
    assert codec.encode(again) == encoded


def depths(value: Any) -> tuple[int, int]:
    """How deep containers nest, and how deep those that are extensions; without recursion."""
    deepest = extensions = 0
    waiting = [(value, 0, 0)]
    while waiting:
        each, all_levels, levels = waiting.pop()
        deepest, extensions = max(deepest, all_levels), max(extensions, levels)
        items: Iterable[Any] = ()
        if isinstance(each, dict):
            items = (*each.keys(), *each.values())
            levels += any(type(key) is not str for key in each)
        elif isinstance(each, (list, tuple, set, frozenset)):
            items = each
            levels += type(each) is not list
        waiting += ((item, all_levels + 1, levels) for item in items)
    return deepest, extensions


def encoding(data: bytes) -> None:
    """Any value comes back the same, or is refused with the path to what cannot be stored."""
    value = _Builder(Source(data)).value(0)
    try:
        encoded = codec.encode(value, "value")
    except UnstorableValue as error:
        assert is_strange(value) or depths(value)[0] > MAX_DEPTH, error
        assert error.path.startswith("value")
        return
    assert not is_strange(value), "it would not come back the same"
    again = codec.decode(encoded)
    assert exact(again) == exact(value)
    assert codec.encode(again) == encoded


def is_strange(value: Any) -> bool:
    """Whether something in it is not of a type that comes back the same."""
    kind = type(value)
    if kind is dict:
        return any(map(is_strange, value)) or any(map(is_strange, value.values()))
    if kind in (list, tuple, set, frozenset):
        return any(map(is_strange, value))
    if kind in (datetime, time) and type(value.tzinfo) is timezone:
        return is_strange(value.tzinfo.tzname(None))
    if kind is Markup or kind is str:
        return any("\ud800" <= character <= "\udfff" for character in value)
    return any(each is value or type(each) is kind for each in _STRANGE)


class _Color(enum.Enum):
    RED = 1


class _Text(str):
    __slots__ = ()


class _Builder:
    """Makes values of the fuzzer's bytes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kinds: tuple[Callable[[int], Any], ...] = (
            *(self._small, self._integer, self._float, self._text, self._bytes, self._decimal),
            *(self._timedelta, self._date, self._time, self._datetime, self._uuid, self._markup),
            *(self._list, self._tuple, self._set, self._frozenset, self._dict, self._other_dict),
            *(self._nested, self._what_cannot_be_stored),
        )

    def value(self, level: int) -> Any:
        """Any value."""
        if level > 8:
            return None
        return self._source.choice(self._kinds)(level + 1)

    def hashable(self, level: int) -> Any:
        """One that may be in a set."""
        value = self.value(level)
        try:
            hash(value)
        except TypeError:
            return len(repr(type(value)))
        return value

    # -- scalars --

    def _small(self, level: int) -> Any:
        return self._source.choice((None, True, False, 0, 1, 0.0, 1.0, "1", b"1", "", -0.0))

    def _integer(self, level: int) -> int:
        number = int.from_bytes(self._source.bytes(), "big", signed=True)
        return number + self._source.number() % 3 - 1

    def _float(self, level: int) -> float:
        number: float = ormsgpack.unpackb(b"\xcb" + self._source.take(8).ljust(8, b"\0"))
        return number

    def _text(self, level: int) -> str:
        return self._source.text()

    def _bytes(self, level: int) -> bytes:
        return self._source.bytes()

    def _decimal(self, level: int) -> Decimal:
        digits = tuple(digit % 10 for digit in self._source.take(self._source.number() % 40))
        sign, exponent = self._source.number() % 2, self._source.number(4) - 2**31
        special: Any = self._source.choice((None, None, None, "n", "N", "F"))
        return Decimal((sign, digits, special or exponent % 10**6))

    def _timedelta(self, level: int) -> timedelta:
        days = self._source.number(4) % 1_999_999_998 - 999_999_999
        return timedelta(days, self._source.number(3) % 86400, self._source.number(3) % 10**6)

    def _date(self, level: int) -> date:
        return date.fromordinal(1 + self._source.number(3) % date.max.toordinal())

    def _time(self, level: int) -> time:
        moment = (datetime(1, 1, 1, tzinfo=UTC) + self._microseconds(DAY)).time()
        return moment.replace(tzinfo=self._zone(), fold=self._source.number() % 2)

    def _datetime(self, level: int) -> datetime:
        return datetime.combine(self._date(level), self._time(level))

    def _microseconds(self, below: timedelta) -> timedelta:
        step = timedelta(microseconds=1)
        return self._source.number(5) % (below // step) * step

    def _zone(self) -> Any:
        kind = self._source.number() % 5
        if kind == 0:
            return None
        if kind == 1:
            return UTC
        if kind == 2:
            return ZoneInfo(self._source.choice(("Europe/Berlin", "UTC", "America/St_Johns")))
        offset = self._microseconds(2 * DAY - timedelta(microseconds=1)) - DAY
        offset += timedelta(microseconds=1)
        return timezone(offset) if kind == 3 else timezone(offset, self._source.text())

    def _uuid(self, level: int) -> UUID:
        return UUID(bytes=self._source.take(16).ljust(16, b"\0"))

    def _markup(self, level: int) -> Markup:
        return Markup(self._source.text())  # noqa: S704

    # -- containers --

    def _list(self, level: int) -> list[Any]:
        return self._source.list(lambda: self.value(level), 8)

    def _tuple(self, level: int) -> tuple[Any, ...]:
        return tuple(self._list(level))

    def _set(self, level: int) -> set[Any]:
        return set(self._source.list(lambda: self.hashable(level), 8))

    def _frozenset(self, level: int) -> frozenset[Any]:
        return frozenset(self._set(level))

    def _dict(self, level: int) -> dict[str, Any]:
        return dict(self._source.list(lambda: (self._text(level), self.value(level)), 6))

    def _other_dict(self, level: int) -> dict[Any, Any]:
        return dict(self._source.list(lambda: (self.hashable(level), self.value(level)), 6))

    def _nested(self, level: int) -> Any:
        value = self.value(level)
        for _ in range(self._source.number()):
            value = self._source.choice(_WRAPPERS)(value)
        return value

    # -- and what a session does not take --

    def _what_cannot_be_stored(self, level: int) -> Any:
        return self._source.choice(_STRANGE)


_STRANGE: Final = (_Color.RED, _Text("x"), bytearray(b"x"), memoryview(b"x"), object(), 1j, ...)
_WRAPPERS: Final[tuple[Callable[[Any], Any], ...]] = (
    lambda value: [value],
    lambda value: (value,),
    lambda value: {"": value},
    lambda value: {1: value},
    lambda value: [value, b""],
)


def seeds() -> Iterator[bytes]:
    """One of each type, alone and nested; bombs."""
    zones = (UTC, timezone(timedelta(hours=1), "CET"), ZoneInfo("Europe/Berlin"))
    values: list[Any] = [
        *(None, True, -1, 2**63, 2**64, -(2**100), 1.5, "text", "\u00e9", b"\0", [], {}, (), set()),
        *(date(2024, 2, 29), time(1, 2, 3, 4, fold=1), timedelta(-1, 1, 1), Decimal("1.10")),
        *(UUID(int=7), Markup("<b>"), frozenset({1, "x"}), {1: "a", "1": "b", (): None}),
        *(datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zone) for zone in zones),
    ]
    for value in values:
        yield codec.encode(value)
        yield codec.encode({"nested": [(value,)]})
    yield b"\xdd\xff\xff\xff\xff"
    yield b"\xdf\xff\xff\xff\xff"
    yield b"\x91" * 3000
    yield nested_extensions(120)


def nested_extensions(levels: int) -> bytes:
    """Tuples in tuples."""
    data = b"\x90"
    for _ in range(levels):
        data = ormsgpack.packb(ormsgpack.Ext(1, b"\x91" + data))
    return data
