"""The extension types of the codec: their numbers, and how each becomes a value again.

The numbers are part of the format; :mod:`sessionstore.core.codec` says what each holds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import ormsgpack

MAX_DEPTH: Final = 100
"""How deep containers may nest: far under what ormsgpack and the interpreter's stack allow."""

QUICK_LEVELS: Final = 4
"""How deep those containers may nest that are extensions, to be encoded and decoded the quick way.
There ormsgpack counts the levels between two of them, and nobody all of them: a hundred tuples,
with a thousand lists around each, are more than a thread's stack holds."""


class Tag:
    """The numbers."""

    TUPLE, SET, FROZENSET, INT, DATETIME, DATE = 1, 2, 3, 4, 5, 6
    TIME, TIMEDELTA, DECIMAL, UUID, MARKUP, DICT = 7, 8, 9, 10, 11, 12


class SafeText(str):
    """Safe HTML, where neither MarkupSafe nor Django is installed to give it a class."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


class _Extension(NamedTuple):
    """One that is still to be restored."""

    tag: int
    data: bytes


def _restorer(level: int) -> Callable[[int, bytes], Any]:
    """What restores extensions inside of so many others."""
    if level == QUICK_LEVELS:
        return lambda tag, data: _built(_Extension(tag, data), level)
    inner = _restorer(level + 1)

    def restore(tag: int, data: bytes) -> Any:
        build = _BUILDERS.get(tag)
        if build is None:
            return _RESTORERS[tag](data)
        return build(ormsgpack.unpackb(data, ext_hook=inner))

    return restore


def _built(value: Any, depth: int) -> Any:
    """The slow way: extensions are taken apart one level after the other, and each is counted."""
    if depth > MAX_DEPTH:
        raise ValueError("too deep")
    kind = type(value)
    if kind is list:
        return [_built(item, depth + 1) for item in value]
    if kind is dict:
        return {key: _built(item, depth + 1) for key, item in value.items()}
    if kind is not _Extension:
        return value
    build = _BUILDERS.get(value.tag)
    if build is None:
        return _RESTORERS[value.tag](value.data)
    items = ormsgpack.unpackb(value.data, ext_hook=_Extension)
    if type(items) is not list:
        raise ValueError("no array")
    if value.tag == Tag.DICT:
        return {_built(key, depth + 1): _built(item, depth + 1) for key, item in items}
    return build(_built(items, depth))


def _parts(data: bytes) -> Any:
    """What a scalar consists of: no extensions."""
    return ormsgpack.unpackb(data)


def _restore_zone(zone: Any) -> tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return ZoneInfo(zone)
    offset, name = timedelta(microseconds=zone[0]), zone[1]
    if name is not None:
        return timezone(offset, name)
    return timezone(offset) if offset else UTC


def _restore_datetime(data: bytes) -> datetime:
    text, fold, zone = _parts(data)
    return datetime.fromisoformat(text).replace(fold=fold, tzinfo=_restore_zone(zone))


def _restore_time(data: bytes) -> time:
    text, fold, zone = _parts(data)
    return time.fromisoformat(text).replace(fold=fold, tzinfo=_restore_zone(zone))


def _restore_markup(data: bytes) -> str:
    try:
        from markupsafe import Markup
    except ImportError:
        pass  # then Django's own, or a plain one of ours
    else:
        return Markup(data.decode())  # noqa: S704 (it was Markup, and the record is authenticated)
    django = sys.modules.get("django.utils.safestring")
    return (SafeText if django is None else django.SafeString)(data.decode())


_BUILDERS: Final[dict[int, Callable[[Any], Any]]] = {
    Tag.TUPLE: tuple,
    Tag.SET: set,
    Tag.FROZENSET: frozenset,
    Tag.DICT: dict,
}
_RESTORERS: Final[dict[int, Callable[[bytes], Any]]] = {
    Tag.INT: lambda data: int.from_bytes(data, "big", signed=True),
    Tag.DATETIME: _restore_datetime,
    Tag.DATE: lambda data: date.fromisoformat(data.decode()),
    Tag.TIME: _restore_time,
    Tag.TIMEDELTA: lambda data: timedelta(*_parts(data)),
    Tag.DECIMAL: lambda data: Decimal(data.decode()),
    Tag.UUID: lambda data: UUID(bytes=data),
    Tag.MARKUP: _restore_markup,
}
restore: Final = _restorer(0)
"""What ormsgpack calls for an extension type."""
