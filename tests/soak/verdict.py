"""What came of a soak, and whether that is good enough. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Final

from tests.soak.faults import Strike
from tests.soak.flatness import Series
from tests.soak.rules import KINDS, Judgement
from tests.support.figures import SETTLING, Sample, Window, intervals, median

ANSWERS: Final = frozenset({200, 401, 409, 503})
"""All that a site of the soak may say. 0, silence, is a matter of its own."""


@dataclass(frozen=True)
class Limits:
    """What a verdict goes by.

    :param timeout: the store's, in seconds
    :param margin: seconds that a busy machine may add
    :param rate: requests a second below which the soak was none
    """

    timeout: float = 0.5
    margin: float = 0.5
    rate: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """Of one soak.

    :param seconds: from the first request to the last
    :param strikes: every fault
    :param series: what was measured, process by process, and the store's connections
    :param stalls: when the server kept its own client waiting, says the witness
    :param lags: when the processor kept everybody waiting
    """

    store: str
    seed: int
    seconds: float
    limits: Limits
    samples: Sequence[Sample]
    strikes: Sequence[Strike]
    judgement: Judgement
    series: Sequence[Series]
    stalls: Sequence[Window] = ()
    lags: Sequence[Window] = ()

    @property
    def errors(self) -> list[Sample]:
        """Error pages, and no answers."""
        return [sample for sample in self.samples if sample.failed]

    @property
    def strange(self) -> list[Sample]:
        """Answers that nobody may get: a 500 above all."""
        return [each for each in self.samples if each.status and each.status not in ANSWERS]

    @property
    def outside(self) -> list[Sample]:
        """Errors that no fault explains."""
        stalls = self.unasked
        return [each for each in self.errors if not self._excused(each, stalls)]

    def _excused(self, sample: Sample, stalls: Sequence[Window]) -> bool:
        for strike in self.strikes:
            if strike.window is None or not strike.window.excuses(sample):
                continue
            # A store's fault is no excuse for silence, and an app's is one for nothing else.
            if strike.fault.site == (None if sample.status else sample.site):
                return True
        return sample.status == 503 and any(each.excuses(sample) for each in stalls)

    @property
    def late(self) -> list[Sample]:
        """503s that came after their deadline, but for the time in which nobody could work."""
        limits = self.limits
        return [
            each
            for each in self.errors
            if each.status == 503 and each.is_late(limits.timeout, limits.margin + self._lag(each))
        ]

    def _lag(self, sample: Sample) -> float:
        """The processor was busy, or the site not there yet: it waited before anybody saw it."""
        own = [
            Window(strike.began, strike.ended + SETTLING)
            for strike in self.strikes
            if strike.fault.site == sample.site
        ]
        overlaps = (
            min(lag.promoted, sample.ended) - max(lag.fault, sample.began)
            for lag in (*self.lags, *own)
        )
        return sum(max(overlap, 0.0) for overlap in overlaps)

    @property
    def unasked(self) -> list[Window]:
        """Stalls that no fault of the server's has to do with."""
        windows = [
            Window(strike.began, strike.ended)
            for strike in self.strikes
            if strike.fault.site is None and strike.window is not None
        ]
        return [
            stall
            for stall in self.stalls
            if not any(w.fault <= stall.promoted and stall.fault <= w.promoted for w in windows)
        ]

    def misses(self) -> list[str]:
        """The goals that were missed, in words."""
        counts = self.judgement.counts
        goals = {f"{counts[kind]} {kind}": not counts[kind] for kind in KINDS}
        goals |= {
            f"{len(self.strange)} answers of {sorted({each.status for each in self.strange})}": (
                not self.strange
            ),
            f"{len(self.outside)} errors that no fault explains": not self.outside,
            f"{len(self.late)} errors after their deadline": not self.late,
            f"only {self.rate:.0f} requests/s": self.rate >= self.limits.rate,
            "nothing was measured for long enough": bool(self.series),
        }
        goals |= {_growth(each): each.flat for each in self.series}
        return [text for text, reached in goals.items() if not reached]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.samples) / self.seconds

    def figures(self) -> dict[str, Any]:
        """The figures, as numbers."""
        took = [sample.took for sample in self.samples if not sample.failed]
        cuts = quantiles(took, n=100) if len(took) > 1 else [0.0] * 99
        windows = intervals(self.samples)
        silent = sum(sample.status == 0 for sample in self.samples)
        counts = self.judgement.counts
        return {
            "seconds": self.seconds,
            "requests": len(self.samples),
            "rate": self.rate,
            "faults": len(self.strikes),
            "restarts": sum(strike.fault.site is not None for strike in self.strikes),
            "sessions": self.judgement.sessions,
            "operations": self.judgement.operations,
            **{kind: counts[kind] for kind in KINDS},
            "errors": len(self.errors) - silent,
            "silent": silent,
            "strange": len(self.strange),
            "outside": len(self.outside),
            "late": len(self.late),
            "stalls": len(self.unasked),
            "lag": sum(lag.promoted - lag.fault for lag in self.lags),
            "p50": cuts[49],
            "p99": cuts[98],
            "max": max((sample.took for sample in self.samples), default=0.0),
            "windows": len(windows),
            "window_median": median(windows),
            "window_max": max(windows, default=0.0),
        }

    def by_fault(self) -> Mapping[str, int]:
        """How often each befell it."""
        return dict(sorted(Counter(strike.fault.name for strike in self.strikes).items()))


def _growth(series: Series) -> str:
    return (
        f"{series.site} {series.pid}: {series.name} from {series.start:,.0f} to {series.end:,.0f}, "
        f"a growth of {series.growth:,.0f}, and {series.allowed:,.0f} are allowed"
    )
