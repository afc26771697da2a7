"""What sessionstore is held to, and whether a run's figures reach it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.calling import COUNTED
from benchmarks.clients import RAW
from benchmarks.sites import OURS, OURS_MEMORY, SITES
from benchmarks.statistics import Spread, added, quantile, ratio

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Goal:
    """One goal, and what was measured of it.

    :param what: for people
    :param wanted: the bound; ``sign`` says on which side of it to be
    :param found: None: this run has not measured it
    """

    what: str
    sign: str
    wanted: float
    unit: str
    found: Spread | None

    @property
    def verdict(self) -> str:
        """``"met"``, ``"not met"`` or ``"not measured"``."""
        if self.found is None:
            return "not measured"
        value = self.found.median
        reached = {
            "at most": value <= self.wanted,
            "at least": value >= self.wanted,
            "exactly": value == self.wanted,
        }[self.sign]
        return "met" if reached else "not met"

    @property
    def is_close(self) -> bool:
        """Whether half of the rounds were on the other side, or nearly so: another run may say
        otherwise."""
        return self.found is not None and self.found.low < self.wanted < self.found.high


def goals(result: Result) -> list[Goal]:
    """Every goal, measured or not."""
    return [
        *_commands(result),
        *_requests(result),
        *_own_cpu(result),
        *_load(result),
        *_clients(result),
        *_sizes(result),
        *_startup(result),
    ]


def _part(result: Result, name: str, measure: Callable[[Any], Spread | None]) -> Spread | None:
    return measure(result[name]) if name in result else None


def _exactly(value: float) -> Spread:
    return Spread(value, value, value)


# -- requests --

_EXACTLY: Final = {
    "anonymous": 0,
    "junk": 0,
    "untouched": 0,
    "read": 1,
    "write": 2,
    "new": 1,
    "rotate": 2,
    "logout": 2,
}
COMMANDS: Final = {
    f"flask:{OURS}": _EXACTLY,
    "starlette:sessionstore-manual": _EXACTLY,
    f"django:{OURS}": {**_EXACTLY, "rotate": 3},
}
"""Store commands of each kind of request. In an ASGI application ``request.session`` is read
synchronously, so that it is loaded beforehand unless ``load="manual"``."""

SHARES: Final = (
    ("flask", "flask-session", {"read": 0.35, "write": 0.45, "rotate": 0.35}),
    ("django", "cache", {"read": 0.45, "write": 0.25, "rotate": 0.25}),
    ("starlette", "starsessions", {"read": 0.40, "write": 0.50}),
    ("flask", "cookie", {"write": 1.0}),
    ("django", "cookie", {"write": 1.0}),
)
"""What sessionstore adds to a request, as a share of what another adds."""

OWN_CPU: Final = 40.0
"""Microseconds that the session layer may take of a read; the store's client not counted."""


def figures(site: str, kind: str, what: str, requests: Mapping[str, Any]) -> list[float]:
    """What a session adds, round by round, in microseconds.

    :param what: ``"wall"`` or ``"cpu"``
    """
    sites = requests["sites"]
    return added(sites[site][kind][what], sites[SITES[site].base][kind][what])


def _commands(result: Result) -> Iterator[Goal]:
    for site, kinds in COMMANDS.items():
        for kind, wanted in kinds.items():

            def count(requests: Any, site: str = site, kind: str = kind) -> Spread:
                found = requests["sites"][site]
                counted = found["counted"] if kind in COUNTED else found[kind]["commands"]
                return _exactly(sum((counted[kind] if kind in COUNTED else counted).values()))

            what = f"{_titled(site)}: store commands, {kind}"
            yield Goal(what, "exactly", wanted, "", _part(result, "requests", count))


def _requests(result: Result) -> Iterator[Goal]:
    for framework, peer, kinds in SHARES:
        ours, theirs = f"{framework}:{OURS}", f"{framework}:{peer}"
        for kind, wanted in kinds.items():

            def share(requests: Any, kind: str = kind, pair: Any = (ours, theirs)) -> Spread | None:
                mine, other = (figures(site, kind, "wall", requests) for site in pair)
                return ratio(mine, other)

            what = f"{framework.title()}: added time, {kind}, of {SITES[theirs].title}'s"
            yield Goal(what, "at most", wanted, "x", _part(result, "requests", share))


def _own_cpu(result: Result) -> Iterator[Goal]:
    for framework in ("flask", "starlette", "django"):
        site = f"{framework}:{OURS_MEMORY}"

        def cpu(requests: Any, site: str = site) -> Spread:
            return Spread.of(figures(site, "read", "cpu", requests))

        what = f"{framework.title()}: the session layer's own CPU on a read"
        yield Goal(what, "at most", OWN_CPU, "µs", _part(result, "requests", cpu))


def _titled(site: str) -> str:
    return f"{SITES[site].framework.title()}{', manual' if 'manual' in site else ''}"


# -- clients --

RATES: Final = (
    ("redis-async", "redis-py", 3.5, "async store, 50 tasks: GET/s of redis.asyncio's"),
    ("memcached-async", "emcache-8", 4.0, "async Memcached store, 50 tasks: get/s of emcache's"),
)


def _clients(result: Result) -> Iterator[Goal]:
    for group, peer, wanted, what in RATES:

        def rate(part: Any, group: str = group, peer: str = peer) -> Spread | None:
            found = part["clients"]
            ours = found[f"{group}:{OURS}"]["get 50"]["rate"]
            return ratio(ours, found[f"{group}:{peer}"]["get 50"]["rate"])

        yield Goal(what, "at least", wanted, "x", _part(result, "clients", rate))


# -- load --

LOADS: Final = (
    ("starlette", "cookie", {"read": 1.3, "write": 1.8}),
    ("starlette", "starsessions", {"read": 3.5, "write": 3.5}),
    ("flask", "cookie", {"read": 0.9, "write": 1.0}),
    ("flask", "flask-session", {"read": 1.5, "write": 1.5}),
)
"""Requests a second, as a multiple of another's."""


def _load(result: Result) -> Iterator[Goal]:
    for framework, peer, kinds in LOADS:
        ours, theirs = f"{framework}:{OURS}", f"{framework}:{peer}"
        for kind, wanted in kinds.items():

            def times(load: Any, kind: str = kind, pair: Any = (ours, theirs)) -> Spread | None:
                mine, other = (load["sites"][site][kind]["rate"] for site in pair)
                return ratio(mine, other)

            what = f"{framework.title()} under load: requests/s, {kind}, of {SITES[theirs].title}'s"
            yield Goal(what, "at least", wanted, "x", _part(result, "load", times))


# -- sizes --

OVERHEAD: Final = 260
"""Bytes that a session of 600 B may take in Redis's memory beyond what its attributes are."""


def _sizes(result: Result) -> Iterator[Goal]:
    def overhead(sizes: Any) -> Spread:
        found = sizes["sessionstore, no compression"]["600"]
        return _exactly(found["memory"] - found["payload"])

    what = "a session of 600 B: Redis's memory beyond its payload"
    yield Goal(what, "at most", OVERHEAD, "B", _part(result, "sizes", overhead))


# -- start-up --

IMPORT: Final = 30.0
"""Milliseconds that ``import sessionstore`` may take beyond a bare Python."""
WHEEL: Final = 200_000
"""Bytes."""


def _startup(result: Result) -> Iterator[Goal]:
    def imported(part: Any) -> Spread:
        return Spread.of(added(part["imports"]["sessionstore"], part["imports"]["nothing"]))

    def wheel(part: Any) -> Spread:
        return _exactly(part["wheel"])

    what = "`import sessionstore` beyond a bare Python"
    yield Goal(what, "at most", IMPORT, "ms", _part(result, "startup", imported))
    yield Goal("the wheel", "at most", WHEEL, "B", _part(result, "startup", wheel))


def raw_ratio(part: Mapping[str, Any], name: str, case: str) -> float:
    """A client's median time in a plain socket's."""
    group = name.partition(":")[0]
    found = part["clients"]
    raw = quantile(found[f"{group}:{RAW}"][case]["wall"], 0.5)
    return quantile(found[name][case]["wall"], 0.5) / raw
