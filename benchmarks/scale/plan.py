"""What is asked: how many sessions, what their users do, what the servers are. All of it may be
other numbers, by the command's options of the same names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DAY = 86400.0
GIB = 1024.0**3


def _asked(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """None of these was measured: they are assumptions, to be replaced by what you know."""

    requests: float = _asked(20.0, "requests of each stored session in a day, on average")
    peak: float = _asked(3.0, "the busiest minutes' rate, in averages")
    visit: float = _asked(10.0, "requests of a visit, on average")
    gap: float = _asked(30.0, "seconds between two requests of a visit, on average")
    untouched: float = _asked(0.2, "share of the requests that do not use their session")
    writes: float = _asked(0.1, "share of the requests that change it")
    life: float = _asked(14.0, "days that a session is stored, on average")
    logouts: float = _asked(0.2, "share of the sessions that a logout ends")
    bytes: int = _asked(600, "of a session, as JSON without spaces (benchmarks/data.py)")
    sealing: str = _asked(
        "no compression", "as the page on performance has it: zlib; zstd; zstd, encrypted"
    )
    idle: float = _asked(14 * DAY, "idle timeout in seconds (the default)")
    touch: float = _asked(0.1, "touch_interval, in idle timeouts (the default)")
    memory: float = _asked(64.0, "GiB of a store's node")
    reserved: float = _asked(
        0.25, "share of a Redis node that is kept for copies and failovers (ElastiCache's default)"
    )
    fill: float = _asked(0.8, "share of the rest that is filled with sessions")
    busy: float = _asked(0.4, "share of its time that a Redis node's thread may work at the peak")
    replicas: int = _asked(1, "of each Redis primary")
    cores: int = _asked(4, "threads of a Memcached server (its default)")
    nodes: int = _asked(0, "Redis primaries; 0: as many as are needed")
    served: float = _asked(500.0, "requests a second of one app server, at the peak")
    processes: int = _asked(8, "of each app server")
    threads: int = _asked(8, "of each process, where it is not asyncio")
    lag: float = _asked(0.05, "seconds that a Redis replica is behind, at worst")
    detection: float = _asked(15.0, "cluster-node-timeout in seconds (Redis's default)")
    link: float = _asked(1.0, "Gbit/s at which a new replica is filled")
    restart: float = _asked(30.0, "seconds that an app server's restart takes")
    at_once: float = _asked(0.05, "share of the app servers that are restarted together")
    storm: float = _asked(50.0, "logins of a storm, in the peak's usual ones")
    seed: int = _asked(1, "of every draw")


@dataclass(frozen=True)
class Demand:
    """What so many sessions ask of everything, a second at the peak.

    :param logins: sessions that begin; each is created, and then logged in
    """

    sessions: float
    requests: float
    logins: float
    logouts: float
    touches: float
    writes: float
    loads: float

    @classmethod
    def of(cls, plan: Plan, sessions: float, touches: float) -> Demand:
        """By the plan.

        :param touches: of each request, on average: see :mod:`benchmarks.scale.touching`
        """
        requests = sessions * plan.requests / DAY * plan.peak
        logins = sessions / (plan.life * DAY) * plan.peak
        logouts = logins * plan.logouts
        return cls(
            sessions=sessions,
            requests=requests,
            logins=logins,
            logouts=logouts,
            touches=requests * touches,
            writes=requests * plan.writes,
            loads=requests * (1 - plan.untouched) + logins + logouts,
        )

    @property
    def verbs(self) -> dict[str, float]:
        """The store's commands a second."""
        return {
            "load": self.loads,
            "replace": self.writes + self.touches + self.logins,
            "create": self.logins,
            "delete": self.logouts,
        }

    @property
    def commands(self) -> float:
        """All of them."""
        return sum(self.verbs.values())

    def kinds(self, untouched: float) -> dict[str, float]:
        """Requests a second by what they do with their session, as the benchmark names them.

        :param untouched: their share
        """
        unused = self.requests * untouched
        rotate = self.logins
        return {
            "untouched": unused,
            "read": self.requests - unused - self.writes,
            "write": self.writes,
            "rotate": rotate,
        }
