"""``docs/performance.md``, written from one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.data import SIZE
from benchmarks.goals import goals as goals_of
from benchmarks.report.charts import draw
from benchmarks.report.misses import explained
from benchmarks.report.tables import markdown, tables

CHARTS: Final = Path("_static", "performance")
"""Beside the page."""

_HEAD: Final = """\
# Performance

`make bench ARGS="--markdown docs/performance.md"` writes this page; every figure is from one run.

## How it is measured

Every framework with every kind of session, and every client of a store, is a process of its own,
and all of them take turns: in each round each gets a small batch of requests, in an order drawn
anew. So whatever else happens on the machine meets all of them. Figures are medians over the
rounds. What a session *adds* is the difference, within a round, to the same site without sessions.
The session is the same everywhere ({size} bytes as JSON). Before anything is timed, it is read
back and compared.

Only ratios within one run mean anything: on another machine, or on the same an hour later, all
times are others. Servers, sites and what puts load on them share the machine's {cores} cores, and
the network is its loopback; a real one adds its round trip to every store command.

What follows from such figures for more than one machine is on [a page of its own](scale.md).
"""

_BUSY: Final = """\
**The machine was busy with other work during this run: take the ratios with caution, and no time
as such.**
"""


def write_page(result: Mapping[str, Any], page: Path) -> None:
    """The whole page, and its charts beside it."""
    charts = list(draw(result, page.parent / CHARTS))
    parts = [_HEAD.format(size=SIZE, cores=result["about"]["cores"]), _run(result)]
    goals, *others = [f"## {table.title}\n\n{markdown(table)}" for table in tables(result)]
    parts += [goals, *_misses(result), *others]
    parts += [
        f"## Chart: {title[0].lower()}{title[1:]}\n\n![{title}]({CHARTS.as_posix()}/{file.name})\n"
        for title, file in charts
    ]
    page.write_text("\n".join(parts))


def _misses(result: Mapping[str, Any]) -> list[str]:
    paragraphs = list(explained(goals_of(result)))
    if paragraphs:
        paragraphs.insert(0, "### What the misses are bound by, and what would move them\n")
    return paragraphs


def _run(result: Mapping[str, Any]) -> str:
    return "\n".join(["## This run\n", *_about(result)])


def _about(result: Mapping[str, Any]) -> Iterator[str]:
    about = result["about"]
    kind = "A quick run, with few samples" if result["quick"] else "A full run"
    yield f"{kind}, begun {result['began']}: {result['seconds']:.0f} s, seed {result['seed']}."
    yield f"{about['processor']}, {about['cores']} cores, {about['system']}."
    before, after = result["load before"], result["load after"]
    yield f"Load average {before:.1f} before and {after:.1f} after.\n"
    if before > 1:
        yield _BUSY
    versions = {
        "Python": about["python"],
        "redis-server": about["redis-server"],
        "memcached": about["memcached"],
        **about["versions"],
    }
    yield "Versions: " + ", ".join(f"{name} {number}" for name, number in versions.items()) + ".\n"
