"""Attributes <-> bytes: MessagePack by ormsgpack, and what goes in comes out.

Same value and same type, or :class:`~.errors.UnstorableValue` naming the path. Beyond
MessagePack's own types these extension types exist (their numbers are part of the format):

====  ==========  =====================================================================
 tag  type        content
====  ==========  =====================================================================
   1  tuple       an array
   2  set         an array, sorted by the elements' bytes, so that equal sets are equal bytes
   3  frozenset   the same
   4  int         beyond 64 bits: two's complement, big-endian
   5  datetime    [ISO 8601 without offset, fold, zone]
   6  date        ISO 8601
   7  time        [ISO 8601 without offset, fold, zone]
   8  timedelta   [days, seconds, microseconds]
   9  Decimal     its text
  10  UUID        16 bytes
  11  Markup      text that is safe HTML (``markupsafe.Markup``, Django's ``SafeString``)
  12  dict        [[key, value], ...], where a key is not a string
====  ==========  =====================================================================

A zone is nil, an IANA name, or [offset in microseconds, name or nil]. Enums, subclasses,
arbitrary objects and lone surrogates are refused; nothing is ever pickled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import ormsgpack

from sessionstore.core.errors import CodecError, UnstorableValue
from sessionstore.core.extensions import MAX_DEPTH, QUICK_LEVELS, SafeText, Tag, restore

# Without OPT_NON_STR_KEYS a dict with any other key is an error, which is what we want: with
# it, UUID, datetime and enum keys would silently become strings.
_OPTIONS: Final = (
    ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)

IMMUTABLE: Final = frozenset(
    {type(None), bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta}
)
"""Types whose values cannot change in place, so that the same object is the same value."""

_NESTING: Final = frozenset({dict, list, tuple, set, frozenset})
_STORABLE: Final = IMMUTABLE | _NESTING
_BUFFERS: Final = frozenset({bytearray, memoryview})
_NATIVE: Final = frozenset({type(None), bool, int, float, str, bytes})
_BIN_MARKER: Final = re.compile(rb"[\xc4-\xc6]")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")


def encode(value: Any, name: object = "value") -> bytes:
    """Encode one value.

    :param name: how an error calls it: an attribute's name
    :raises UnstorableValue: if it would not come back the same
    """
    try:
        packed = ormsgpack.packb(value, default=_Extend(), option=_OPTIONS)
    except TypeError:  # includes ormsgpack.MsgpackEncodeError
        return _encode_exactly(value, written(name))
    # ormsgpack writes bytearray and memoryview as bytes: they would come back as bytes. Where no
    # byte looks as if bytes began there, it has not; in a few hundred numbers one always does.
    if type(value) is not str and _BIN_MARKER.search(packed) and _has_buffer(value):
        return _encode_exactly(value, written(name))
    return packed


def _has_buffer(value: Any) -> bool:
    """Whether a value that could be encoded has a bytearray or a memoryview in it."""
    pending: list[Any] = [(value,)]
    while pending:
        container = pending.pop()
        items = container.values() if type(container) is dict else container
        kinds = set(map(type, items))
        if not kinds.isdisjoint(_BUFFERS):
            return True
        if not kinds.isdisjoint(_NESTING):
            pending += [item for item in items if type(item) in _NESTING]
    return False


def written(key: object, how: Callable[[object], str] = str) -> str:
    """A key as errors show it.

    >>> written("cart"), written((1, 2)), written("a b", repr)
    ('cart', '(1, 2)', "'a b'")
    """
    try:
        return how(key)
    except ValueError:  # an integer of more digits than Python writes
        return f"<{type(key).__name__}>"


def decode(data: bytes) -> Any:
    """Decode what :func:`encode` made.

    :raises CodecError: if it did not make it
    """
    try:
        return ormsgpack.unpackb(data, ext_hook=restore)
    except Exception as error:
        raise CodecError(f"not an encoded value: {type(error).__name__}") from error


def decode_each(attributes: Mapping[str, bytes]) -> dict[str, Any]:
    """:func:`decode` for each value of a mapping.

    :raises CodecError: for the first that :func:`encode` did not make
    """
    unpack = ormsgpack.unpackb
    try:
        return {name: unpack(data, ext_hook=restore) for name, data in attributes.items()}
    except Exception as error:
        raise CodecError(f"not an encoded value: {type(error).__name__}") from error


def join(attributes: dict[str, bytes]) -> bytes:
    """Encoded values under their names: :func:`encode`, where all values are known to be bytes."""
    try:
        return ormsgpack.packb(attributes)
    except TypeError:  # a name that is no text
        return encode(attributes)


class _Extend:
    """What ormsgpack calls for a type that it does not know; one per encoding."""

    __slots__ = ("depth",)

    def __init__(self) -> None:
        self.depth = 0

    def __call__(self, value: Any) -> ormsgpack.Ext:
        tag = _CONTAINERS.get(type(value))
        if tag is None:
            return _extend_scalar(value)
        self.depth += 1
        if self.depth > QUICK_LEVELS:
            raise TypeError("too deep for the quick way")
        packed = (
            self._pack(list(value)) if tag == Tag.TUPLE else _sorted_array(map(self._pack, value))
        )
        self.depth -= 1
        return ormsgpack.Ext(tag, packed)

    def _pack(self, value: Any) -> bytes:
        return ormsgpack.packb(value, default=self, option=_OPTIONS)


_CONTAINERS: Final[dict[type, int]] = {tuple: Tag.TUPLE, set: Tag.SET, frozenset: Tag.FROZENSET}


def _sorted_array(packed: Iterable[bytes]) -> bytes:
    """An array of encoded items in the order of their bytes."""
    # Put together here: were each item encoded once to be sorted and once more as a part of the
    # array, every level of nested sets would double the time.
    items = sorted(packed)
    count = len(items)
    if count < 16:
        header = bytes((0x90 | count,))
    elif count < 2**16:
        header = b"\xdc" + count.to_bytes(2, "big")
    else:
        header = b"\xdd" + count.to_bytes(4, "big")
    return header + b"".join(items)


def _extend_scalar(value: Any) -> ormsgpack.Ext:
    encoder = _SCALARS.get(type(value))
    if encoder is not None:
        return encoder(value)
    if _is_markup(type(value)):
        return ormsgpack.Ext(Tag.MARKUP, str.__str__(value).encode())
    raise TypeError(type(value).__name__)


def _encode_int(value: int) -> ormsgpack.Ext:
    return ormsgpack.Ext(Tag.INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _encode_time(value: datetime | time) -> bytes:
    naive = value.replace(tzinfo=None)
    return ormsgpack.packb([naive.isoformat(), value.fold, _zone(value.tzinfo)])


def _zone(zone: tzinfo | None) -> Any:
    if zone is None:
        return None
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key
    if type(zone) is timezone:
        offset = zone.utcoffset(None)
        name = zone.tzname(None)
        own_name = None if name == timezone(offset).tzname(None) else name
        return [offset // timedelta(microseconds=1), own_name]
    raise TypeError("tzinfo")


_SCALARS: Final[dict[type, Callable[[Any], ormsgpack.Ext]]] = {
    int: _encode_int,
    datetime: lambda value: ormsgpack.Ext(Tag.DATETIME, _encode_time(value)),
    date: lambda value: ormsgpack.Ext(Tag.DATE, value.isoformat().encode()),
    time: lambda value: ormsgpack.Ext(Tag.TIME, _encode_time(value)),
    timedelta: lambda value: ormsgpack.Ext(
        Tag.TIMEDELTA, ormsgpack.packb([value.days, value.seconds, value.microseconds])
    ),
    Decimal: lambda value: ormsgpack.Ext(Tag.DECIMAL, str(value).encode()),
    UUID: lambda value: ormsgpack.Ext(Tag.UUID, value.bytes),
    SafeText: lambda value: ormsgpack.Ext(Tag.MARKUP, str.__str__(value).encode()),
}


def _is_markup(kind: type) -> bool:
    # By name: neither library may be imported on behalf of an application that has none.
    return (kind.__module__, kind.__name__) in {
        ("markupsafe", "Markup"),
        ("django.utils.safestring", "SafeString"),
    }


# -- the slow way: finds the path of what is refused, and encodes dicts with other keys --


def _encode_exactly(value: Any, path: str) -> bytes:
    return ormsgpack.packb(_exact(value, path, 0), option=_OPTIONS)


def _exact(value: Any, path: str, depth: int) -> Any:
    """The same value in ormsgpack's own types, each level looked at."""
    if depth > MAX_DEPTH:
        raise UnstorableValue(path, f"nested deeper than {MAX_DEPTH} levels, or contains itself")
    kind = type(value)
    if kind is dict:
        return _exact_dict(value, path, depth + 1)
    if kind is list:
        return [_exact(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    if kind is tuple:
        items = [_exact(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
        return ormsgpack.Ext(Tag.TUPLE, _pack_exact(items))
    if kind is set or kind is frozenset:
        items = [_exact(item, f"{path} (an element)", depth + 1) for item in value]
        tag = Tag.SET if kind is set else Tag.FROZENSET
        return ormsgpack.Ext(tag, _sorted_array(map(_pack_exact, items)))
    return _exact_scalar(value, path)


def _exact_dict(value: dict[Any, Any], path: str, depth: int) -> Any:
    if all(type(key) is str for key in value):
        result = {}
        for key, item in value.items():
            where = f"{path}.{key}" if _IDENTIFIER.fullmatch(key) else f"{path}[{key!r}]"
            result[_exact(key, f"{path} (a key)", depth)] = _exact(item, where, depth)
        return result
    pairs = [
        [
            _exact(key, f"{path} (a key)", depth),
            _exact(item, f"{path}[{written(key, repr)}]", depth),
        ]
        for key, item in value.items()
    ]
    return ormsgpack.Ext(Tag.DICT, _pack_exact(pairs))


def _exact_scalar(value: Any, path: str) -> Any:
    kind = type(value)
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UnstorableValue(path, "the text has a lone surrogate") from None
        return value
    if kind is int and not -(2**63) <= value < 2**64:
        return _encode_int(value)
    if kind in _NATIVE:
        return value
    try:
        return _extend_scalar(value)
    except UnicodeEncodeError:
        raise UnstorableValue(path, "the text has a lone surrogate") from None
    except TypeError:
        raise UnstorableValue(path, _why_not(value)) from None


def _pack_exact(value: Any) -> bytes:
    return ormsgpack.packb(value, option=_OPTIONS)


def _why_not(value: Any) -> str:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, Enum):
        return f"{name} is an enum: store its .value"
    if isinstance(value, (bytearray, memoryview)):
        return f"{kind.__name__} would come back as bytes: store bytes(...)"
    if kind is datetime or kind is time:
        return "only ZoneInfo and fixed-offset time zones come back the same"
    for base in kind.__mro__:
        if base in _STORABLE:
            return f"{name} would come back as {base.__name__}: convert it first"
    return f"{name} is not one of the types a session can hold: store an id, or plain values"
