"""What came of a drill, whether it is good enough, and how that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.drill.ledger import Tally
from tests.drill.scenario import Scenario, Story
from tests.support.figures import Sample, intervals, median, recovery

if TYPE_CHECKING:
    from tests.drill.running import Settings

COLUMNS: Final = {
    "title": "drill",
    "setting": "setting",
    "reads": "reads",
    "writes": "writes",
    "errors": "errors",
    "lost_logins": "lost logins",
    "zombies": "zombies",
    "lost_writes": "lost writes",
    "cross_user": "cross-user",
    "window_median": "window p50",
    "window_max": "window max",
    "recovery": "recovery",
    "slowest_error": "slowest error",
    "outside": "errors outside",
    "verdict": "goals",
}
"""Key of a row, and its heading. A zombie is a logout that was lost."""

_SECONDS: Final = {"window_median", "window_max", "recovery", "slowest_error", "promotion"}


@dataclass
class Result:
    """Of one scenario.

    :param rate: requests a second that were made
    :param lag: seconds by which the load itself was late at worst
    :param logs: what the sites printed
    """

    scenario: Scenario
    settings: Settings
    samples: list[Sample]
    tally: Tally
    story: Story
    rate: float
    lag: float
    logs: dict[str, str]

    @property
    def errors(self) -> list[Sample]:
        """Answers that were none."""
        return [sample for sample in self.samples if sample.failed]

    @property
    def outside(self) -> list[Sample]:
        """Errors that have nothing to do with the fault."""
        window = self.story.window
        return [each for each in self.errors if window is None or not window.excuses(each)]

    @property
    def late(self) -> list[Sample]:
        """Errors that are no 503 by the deadline."""
        settings = self.settings
        return [e for e in self.errors if e.is_late(settings.timeout, settings.margin)]

    def misses(self) -> list[str]:
        """The goals that were missed, in words."""
        tally, keeps = self.tally, self.scenario.keeps
        goals = {
            f"{tally.cross_user} answers showed somebody else": not tally.cross_user,
            f"{tally.zombies} zombies": not (keeps.logouts and tally.zombies),
            f"{tally.lost_logins} lost logins": not (keeps.logins and tally.lost_logins),
            f"{tally.lost_writes} lost writes": not (keeps.writes and tally.lost_writes),
            f"{len(self.outside)} errors outside of the fault": not self.outside,
            f"{len(self.late)} errors that are no 503 by the deadline": not self.late,
            f"only {self.rate:.0f} requests/s": self.rate >= 0.9 * self.settings.rate,
        }
        return [text for text, reached in goals.items() if not reached]

    def _usual(self, kind: str) -> float:
        """Seconds that an answer takes while all is well: the median before the fault."""
        end = float("inf") if self.story.fault is None else self.story.fault
        return median([s.took for s in self.samples if s.kind == kind and s.ended < end])

    def row(self) -> dict[str, Any]:
        """The figures, as numbers; None where there is nothing to measure."""
        lengths = intervals(self.samples)
        fault, promoted = self.story.fault, self.story.promoted
        tally = self.tally
        return {
            "name": self.scenario.name,
            "page": self.scenario.page,
            "title": self.scenario.title,
            "setting": self.scenario.setting,
            "reads": sum(sample.kind == "read" for sample in self.samples),
            "writes": sum(sample.kind == "write" for sample in self.samples),
            "errors": len(self.errors),
            "lost_logins": tally.lost_logins,
            "zombies": tally.zombies,
            "lost_writes": tally.lost_writes,
            "cross_user": tally.cross_user,
            "went_back": tally.went_back,
            "window_median": median(lengths),
            "window_max": max(lengths, default=0.0),
            "recovery": None if fault is None else recovery(self.samples, fault),
            "promotion": None if fault is None or promoted is None else promoted - fault,
            "slowest_error": max((each.took for each in self.errors), default=None),
            "outside": len(self.outside),
            "late": len(self.late),
            "read_median": self._usual("read"),
            "write_median": self._usual("write"),
            "rate": self.rate,
            "lag": self.lag,
            "verdict": "missed" if self.misses() else "reached",
        }

    def as_json(self) -> dict[str, Any]:
        """Everything that helps to find out why."""
        zero = min((sample.began for sample in self.samples), default=0.0)
        suspicious = {*self.outside, *self.late}
        return {
            **self.row(),
            "misses": self.misses(),
            "settings": asdict(self.settings),
            "events": [{"at": at - zero, "what": text} for at, text in self.story.events],
            "findings": self.tally.findings,
            "suspicious": [
                {**asdict(each), "began": each.began - zero, "ended": each.ended - zero}
                for each in self.errors
                if each in suspicious
            ][:100],
            "not_replicated": {
                name: log.count("not_replicated") for name, log in self.logs.items()
            },
            "logs": {name: log.splitlines()[-50:] for name, log in self.logs.items()},
        }


def cells(row: dict[str, Any]) -> list[str]:
    """A row of the table, as text."""
    texts = []
    for name in COLUMNS:
        value = row[name]
        if value is None:
            texts.append("–")  # noqa: RUF001 (a dash, as in tables)
        elif name in _SECONDS:
            texts.append(f"{value:.2f} s" if value else "–")  # noqa: RUF001
        else:
            texts.append(f"{value:,}" if isinstance(value, int) else str(value))
    return texts


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """For the documentation."""
    lines = [list(COLUMNS.values()), ["---"] * 2 + ["---:"] * (len(COLUMNS) - 2)]
    lines += [cells(row) for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table(rows: Sequence[dict[str, Any]]) -> Any:
    """For the terminal."""
    from rich.table import Table

    made = Table(*COLUMNS.values(), title="The drill")
    for row in rows:
        made.add_row(*cells(row), style="red" if row["verdict"] == "missed" else "")
    return made
