"""What the sessions hold: the same in every one that is compared, and storable by all of them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any, Final

SIZE: Final = 600
"""Bytes of a session unless it is said otherwise: a login and a small cart."""

WORDS: Final = (
    *("red", "blue", "green", "large", "small", "cotton", "wool", "linen"),
    *("shirt", "jacket", "scarf", "boots", "summer", "winter", "sale", "new"),
)


def session(size: int = SIZE) -> dict[str, Any]:
    """Attributes that are `size` bytes as JSON without spaces, give or take nothing.

    :param size: at least 150
    """
    chance = random.Random(size)
    values: dict[str, Any] = {
        "user": 4711,
        "n": 0,
        "locale": "de-AT",
        "csrf": f"{chance.getrandbits(160):040x}",
        "cart": [],
        "note": "",
    }
    while encoded(values) + 80 < size:
        item = {
            "sku": f"{chance.getrandbits(32):08x}",
            "name": " ".join(chance.sample(WORDS, 3)),
            "price": chance.randrange(100, 99999),
        }
        values["cart"].append(item)
    values["note"] = "x" * (size - encoded(values))
    return values


def attributes(count: int, size: int) -> dict[str, Any]:
    """As many attributes, all texts, of `size` bytes together as JSON without spaces."""
    values: dict[str, Any] = {f"a{number:02}": "" for number in range(count - 2)}
    values |= {"user": 4711, "n": 0}
    chance = random.Random(count)
    room = max(0, size - encoded(values)) // max(1, count - 2)
    for name in list(values)[: count - 2]:
        values[name] = " ".join(chance.choice(WORDS) for _ in range(room // 4 + 1))[:room]
    return values


def encoded(values: dict[str, Any]) -> int:
    """Bytes as JSON without spaces."""
    return len(json.dumps(values, separators=(",", ":")))


def wanted(query: Mapping[str, str]) -> dict[str, Any]:
    """What an address of ``/fill`` asks for: ``size``, and ``attributes`` if it is about those."""
    size = int(query.get("size", SIZE))
    return attributes(int(query["attributes"]), size) if "attributes" in query else session(size)
