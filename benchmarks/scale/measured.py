"""What the plan rests on that was measured: a run of ``make bench``, or the committed one.

``measured.json`` beside this module is what ``make bench`` said on the machine that it names, two
busy cores: ``--only costs`` in full, ``sizes`` and ``requests`` of a quick run minutes before, each
put there by ``--keep``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from benchmarks.goals import figures
from benchmarks.statistics import quantile

COMMITTED: Final = Path(__file__).with_name("measured.json")
PARTS: Final = ("costs", "sizes", "requests")
FRAMEWORKS: Final = ("flask", "django", "starlette")
CARRYING: Final = {"create": "received", "replace": "received", "load": "sent"}
"""Which of a verb's two directions the record goes in."""


@dataclass(frozen=True)
class Cost:
    """Of one command.

    :param alone: seconds of the server's CPU, where nothing else is on the connection
    :param together: the same, where 50 tasks share one
    :param received: bytes, by the server
    :param sent: bytes
    """

    alone: float
    together: float
    received: float
    sent: float

    @property
    def network(self) -> float:
        """Bytes in both directions."""
        return self.received + self.sent


@dataclass(frozen=True)
class Measured:
    """One result of ``make bench``, with the committed one for the parts that it has not.

    :param result: as ``--json`` has it
    :param borrowed: the names of those parts
    """

    result: Mapping[str, Any]
    borrowed: Sequence[str] = field(default=())

    @classmethod
    def read(cls, file: Path | None = None) -> Measured:
        """From a file of ``make bench ARGS="--json FILE"``; None: the committed one."""
        committed = json.loads(COMMITTED.read_text())
        if file is None:
            return cls(committed)
        result = json.loads(file.read_text())
        borrowed = [part for part in PARTS if part not in result]
        return cls({**result, **{part: committed[part] for part in borrowed}}, borrowed)

    def keep(self) -> None:
        """Make this the committed one: what is used of it."""
        kept = {name: self.result[name] for name in ("began", "load before", "about", "costs")}
        sizes = self.result["sizes"].items()
        kept["sizes"] = {title: found for title, found in sizes if title.startswith("sessionstore")}
        sites = self.result["requests"]["sites"]
        names = [f"{at}:{session}" for at in FRAMEWORKS for session in ("none", "sessionstore")]
        kept["requests"] = {
            "sites": {
                name: {
                    kind: {"cpu": found["cpu"]}
                    for kind, found in sites[name].items()
                    if "cpu" in found  # of some, the commands are counted alone
                }
                for name in names
            }
        }
        COMMITTED.write_text(json.dumps(_rounded(kept), indent=1) + "\n")

    @property
    def about(self) -> str:
        """Where the figures are from."""
        about = self.result["about"]
        text = (
            f"{about['processor']}, {about['cores']} cores, redis-server {about['redis-server']},"
            f" memcached {about['memcached']}, {self.result['began'][:10]},"
            f" load average {self.result['load before']:.1f}"
        )
        if self.borrowed:
            text += f"; from the committed run: {', '.join(self.borrowed)}"
        return text

    def cost(self, server: str, verb: str, value: int) -> Cost:
        """What a verb costs, with a record of so many bytes.

        The CPU is that of the record that was measured: another size changes the network alone.
        """
        costs = self.result["costs"][server]
        found, more = costs["verbs"][verb], value - costs["filled"]["value"]
        carried = dict.fromkeys(("received", "sent"), 0)
        if verb in CARRYING:
            carried[CARRYING[verb]] = more
        return Cost(
            quantile(found["alone"], 0.5) / 1e6,
            quantile(found["together"], 0.5) / 1e6,
            found["received"] + carried["received"],
            found["sent"] + carried["sent"],
        )

    def connect(self, server: str, *, tls: bool) -> float:
        """Seconds of the server's CPU for a new connection, with the first command on it."""
        found: float = self.result["costs"][server]["connect"]["tls" if tls else "plain"]
        return found / 1e6

    @cached_property
    def redis_tables(self) -> float:
        """Bytes of a session in Redis beside ``MEMORY USAGE``: the tables of keys and expiries."""
        filled = self.result["costs"]["redis"]["filled"]
        found: float = filled["memory"] - filled["usage"]
        return found

    @cached_property
    def memcached_table(self) -> float:
        """Bytes of an item in Memcached's hash table."""
        filled = self.result["costs"]["memcached"]["filled"]
        found: float = filled["hash bytes"] / filled["count"]
        return found

    def value(self, size: int, sealing: str) -> int:
        """Bytes of the record of a session with so many bytes of JSON.

        Between two sizes that were measured, and beyond them, it is on the line through the two
        nearest.

        :param sealing: ``"no compression"``, ``"zlib"``, ``"zstd"``, ``"zstd, encrypted"``...
        """
        sizes = self.result["sizes"][f"sessionstore, {sealing}"]
        points: list[tuple[int, int]] = sorted(
            (int(size), found["value"]) for size, found in sizes.items()
        )
        place = sum(at < size for at, _ in points[1:-1])
        (low, below), (high, above) = points[place], points[place + 1]
        return round(below + (above - below) * (size - low) / (high - low))

    def request(self, framework: str, kind: str) -> float:
        """Seconds of an app server's CPU that a session adds to a request."""
        added = figures(f"{framework}:sessionstore", kind, "cpu", self.result["requests"])
        return quantile(added, 0.5) / 1e6


def _rounded(found: Any) -> Any:
    """To what may mean something."""
    if isinstance(found, dict):
        return {name: _rounded(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_rounded(value) for value in found]
    return round(found, 2) if isinstance(found, float) else found
