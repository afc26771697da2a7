"""Every type that a session holds, and a description in which no difference of type is lost."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from markupsafe import Markup

COOKIE = "sid"
SECRET = "a secret of thirty-two bytes or more, for interop"

VALUES: dict[str, Any] = {
    "none": None,
    "bools": [True, False],
    "ints": [0, 1, -1, 2**63, 2**64, -(2**63) - 1, 10**40],
    "floats": [0.5, -0.0, 1e308, float("inf"), float("nan")],
    "text": 'é ☃ 𝄞 \x00 "quoted" <b>',
    "empty text": "",
    "bytes": bytes(range(256)),
    "list": [1, "1", [2, []]],
    "tuple": (1, ("nested", ()), [2]),
    "set": {1, "1", (2, 3)},
    "empty set": set(),
    "frozenset": frozenset({"a", frozenset({1})}),
    "dict": {"b": 1, "a": {"nested": {"deep": (None, {3})}}},
    "dict with other keys": {1: "int", "1": "text", (1, 2): "tuple", None: "none", b"x": "bytes"},
    "datetime": datetime(2024, 2, 29, 23, 59, 59, 999999),  # noqa: DTZ001 (naive: that is what is tested)
    "datetime utc": datetime(2024, 2, 29, tzinfo=UTC),
    "datetime offset": datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    "datetime zone": datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    "date": date(1, 1, 1),
    "time": time(12, 30, 0, 1, fold=1),
    "time utc": time(12, 30, tzinfo=UTC),
    "timedelta": timedelta(days=-1, seconds=3, microseconds=5),
    "decimal": [Decimal("1.10"), Decimal("-0"), Decimal("1E+100"), Decimal("NaN")],
    "uuid": UUID("12345678-1234-5678-1234-567812345678"),
    "markup": Markup("<b>safe</b>"),
    # Over the size from which on attributes are compressed.
    "long": "long text " * 1000,
}


def describe(value: Any) -> Any:
    """A value as JSON in which values are alike only if they and all their types are."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, dict):
        return [kind, [[describe(key), describe(item)] for key, item in value.items()]]
    if isinstance(value, list | tuple):
        return [kind, [describe(item) for item in value]]
    if isinstance(value, set | frozenset):
        return [kind, sorted((describe(item) for item in value), key=repr)]
    if isinstance(value, datetime | time):
        zone = None if value.tzinfo is None else [describe(value.tzinfo), str(value.tzinfo)]
        return [kind, value.isoformat(), value.fold, zone]
    return [kind, repr(value)]


def write(session: Any) -> None:
    """What each app's ``POST /write`` does."""
    for name, value in VALUES.items():
        session[name] = value


def change(session: Any) -> None:
    """What each app's ``POST /change`` does: nested, and nothing is marked as modified."""
    session["dict"]["a"]["nested"]["deep"][1].add(4)
    session["list"][2][1].append("changed")


def read(session: Any) -> dict[str, Any]:
    """What each app's ``GET /read`` answers."""
    return {
        "subject": session.subject,
        "handle": session.handle,
        "values": {name: describe(value) for name, value in session.items()},
    }
