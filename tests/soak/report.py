"""How soaks are shown: on the terminal, as JSON, and in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table

from tests.soak.verdict import Outcome

ROWS: Final = {
    "seconds": "duration",
    "requests": "requests",
    "faults": "faults",
    "restarts": "of these, apps or workers restarted",
    "sessions": "sessions whose history was checked",
    "lost writes": "acknowledged writes lost",
    "zombies": "sessions or tokens back from the dead",
    "cross-user": "answers with another user's data",
    "logged out": "logged out without having asked for it",
    "lived on": "alive after the idle timeout",
    "ended early": "ended before the idle timeout",
    "unexplained": "histories that no order explains",
    "undecided": "histories too long to be decided",
    "errors": "503",
    "silent": "no answer (a worker was killed)",
    "strange": "other 5xx, or 4xx",
    "outside": "errors that no fault explains",
    "late": "503 after the deadline",
    "stalls": "disk or server slow by itself, times",
    "lag": "processor late, in all",
    "p50": "latency, median",
    "p99": "latency, 99 %",
    "max": "latency, worst (errors too)",
    "windows": "intervals with errors",
    "window_max": "the longest of them",
    "verdict": "goals",
}
"""Key of a figure, and what it is called."""

_SECONDS: Final = {"lag", "p50", "p99", "max", "window_max", "window_median"}


def as_json(outcome: Outcome, logs: Mapping[str, str]) -> dict[str, Any]:
    """Everything that helps to find out why.

    :param logs: what each site printed
    """
    zero = min((sample.began for sample in outcome.samples), default=0.0)
    suspicious = [*outcome.strange, *outcome.outside, *outcome.late]
    return {
        "store": outcome.store,
        "seed": outcome.seed,
        **outcome.figures(),
        "verdict": "missed" if outcome.misses() else "reached",
        "misses": outcome.misses(),
        "by_fault": outcome.by_fault(),
        "series": [{**asdict(each), "flat": each.flat} for each in outcome.series],
        "findings": outcome.judgement.findings,
        "strikes": [
            {
                "fault": strike.fault.name,
                "site": strike.fault.site,
                "began": strike.began - zero,
                "ended": strike.ended - zero,
            }
            for strike in outcome.strikes
        ],
        "suspicious": [
            {**asdict(each), "began": each.began - zero, "ended": each.ended - zero}
            for each in suspicious[:100]
        ],
        "logs": {name: _telling(log) for name, log in logs.items()},
    }


def _telling(log: str) -> list[str]:
    """The end of a log, without what users who come with old cookies leave there."""
    usual = ("bad_secret", "token_reuse", "Unauthorized", "Service Unavailable")
    return [line for line in log.splitlines() if not any(text in line for text in usual)][-100:]


def figure(result: Mapping[str, Any], name: str) -> str:
    """As text."""
    value = result[name]
    if name == "seconds":
        return f"{value:.0f} s"
    if name in _SECONDS:
        return f"{value * 1000:,.0f} ms"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(results: Sequence[Mapping[str, Any]]) -> Table:
    """The figures, for the terminal."""
    made = Table("the soak", *(str(result["store"]) for result in results))
    for name, text in ROWS.items():
        made.add_row(text, *(figure(result, name) for result in results))
    return made


def processes(result: Mapping[str, Any]) -> Table:
    """What was measured, for the terminal."""
    made = Table("what", "process", "from", "to", "growth", "allowed")
    for each in result["series"]:
        numbers = (f"{each[name]:,.0f}" for name in ("start", "end", "growth", "allowed"))
        style = "" if each["flat"] else "red"
        made.add_row(each["name"], f"{each['site']} {each['pid'] or ''}", *numbers, style=style)
    return made


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """For the documentation: the figures, the faults and what was measured."""
    stores = [str(result["store"]) for result in results]
    lines = [["soak", *stores], ["---", *("---:" for _ in stores)]]
    lines += [[text, *(figure(result, name) for result in results)] for name, text in ROWS.items()]
    faults = sorted({name for result in results for name in result["by_fault"]})
    lines_of_faults = [["fault", *stores], ["---", *("---:" for _ in stores)]]
    lines_of_faults += [
        [name, *(str(result["by_fault"].get(name, "")) for result in results)] for name in faults
    ]
    return "\n".join([_rows(lines), _rows(lines_of_faults), _rows(_measured(results))])


def _rows(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_UNITS: Final = {
    "rss": ("memory (RSS)", 2**20, " MiB"),
    "blocks": ("blocks of memory that Python holds", 1000, " thousand"),
    "descriptors": ("file descriptors", 1, ""),
    "threads": ("threads", 1, ""),
    "connections": ("connections at the store", 1, ""),
}


def _measured(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Of each value the process that grew most, of all that lived long enough."""
    head = [f"from → to, {result['store']}" for result in results]
    lines = [["of the process that grew most", *head], ["---", *("---:" for _ in results)]]
    for name, (text, unit, suffix) in _UNITS.items():
        cells = []
        for result in results:
            found = [each for each in result["series"] if each["name"] == name]
            worst = max(found, key=lambda each: each["growth"], default=None)
            cells.append(
                ""
                if worst is None
                else f"{worst['start'] / unit:,.1f} → {worst['end'] / unit:,.1f}{suffix}"
                if unit > 1
                else f"{worst['start']:,.0f} → {worst['end']:,.0f}"
            )
        lines.append([text, *cells])
    return lines
