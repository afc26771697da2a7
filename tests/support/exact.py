"""Values compared with all their types."""

from __future__ import annotations

from datetime import datetime, time, timezone
from typing import Any


def exact(value: Any) -> Any:
    """A value with all its types, comparable: NaN, -0.0, folds and zones count."""
    kind = type(value)
    if kind is dict:
        return kind, [(exact(key), exact(item)) for key, item in value.items()]
    if kind in (list, tuple):
        return kind, [exact(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted(repr(exact(item)) for item in value)
    if kind is int:
        return kind, hex(value)  # in decimals, Python writes none that is too long
    if kind in (datetime, time):
        return kind, repr(value.replace(tzinfo=None)), _zone(value.tzinfo)
    return kind, repr(value)


def _zone(zone: Any) -> Any:
    """A fixed zone may be named by its offset, or have that for its name: both are the same."""
    if type(zone) is timezone:
        return timezone, zone.utcoffset(None), zone.tzname(None)
    return repr(zone)
