"""A run's charts, as SVG files beside the page. The same result makes the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.goals import figures
from benchmarks.sites import BASE, SITES, Site
from benchmarks.statistics import Spread, quantile

Result = Mapping[str, Any]

FRAMEWORKS: Final = ("flask", "django", "starlette")
OURS: Final = {"read": "#1f77b4", "write": "#0b3c5d"}
THEIRS: Final = {"read": "#bbbbbb", "write": "#777777"}
_STYLE: Final = {"svg.hashsalt": "sessionstore", "svg.fonttype": "none", "font.size": 8.0}


def draw(result: Result, directory: Path) -> Iterator[tuple[str, Path]]:
    """Draw what this run has figures for; gives each chart's title and file."""
    directory.mkdir(parents=True, exist_ok=True)
    made: dict[str, tuple[str, str, Callable[[Any], Figure]]] = {
        "added": ("requests", "What a session adds to a request, in process", _added),
        "load": ("load", "Requests a second", _load),
        "arrivals": ("arrivals", "Waiting, at a fixed rate of arrivals", _arrivals),
        "growth": ("growth", "What a session adds, by its size", _growth),
    }
    for name, (part, title, drawing) in made.items():
        if part in result:
            file = directory / f"{name}.svg"
            save(partial(drawing, result[part]), file)
            yield title, file


def save(drawing: Callable[[], Figure], file: Path) -> None:
    """Draw it into an SVG file, in the style of all our charts."""
    with mpl.rc_context(_STYLE):
        drawing().savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")


def _sites(framework: str, names: Mapping[str, Any]) -> list[Site]:
    """From the bottom of a chart to its top."""
    found = [SITES[name] for name in names if SITES[name].framework == framework]
    return [site for site in reversed(found) if site.session != BASE]


def _bars(
    names: Mapping[str, Any], figure_of: Callable[[str, str], Spread], label: str, *, log: bool
) -> Figure:
    """For each framework, a pair of bars for each kind of session: a read and a write."""
    groups = {framework: _sites(framework, names) for framework in FRAMEWORKS}
    groups = {framework: sites for framework, sites in groups.items() if sites}
    figure = Figure(figsize=(8, 0.42 * sum(map(len, groups.values())) + 1.2))
    heights = [len(sites) for sites in groups.values()]
    axes = figure.subplots(len(groups), 1, sharex=True, height_ratios=heights, squeeze=False)
    for (framework, sites), row in zip(groups.items(), axes, strict=True):
        [axis] = row
        for place, site in enumerate(sites):
            for kind, shift in (("read", 0.2), ("write", -0.2)):
                found = figure_of(site.name, kind)
                error = [[found.median - found.low], [found.high - found.median]]
                colour = (OURS if "sessionstore" in site.session else THEIRS)[kind]
                axis.barh(place + shift, found.median, 0.36, xerr=error, color=colour, ecolor="k")
        axis.set_yticks(range(len(sites)), [site.title for site in sites])
        axis.set_title(framework.title(), loc="left", fontweight="bold")
        if log:
            axis.set_xscale("log")
    axes[-1][0].set_xlabel(f"{label}; light: read, dark: write; lines: quartiles")
    return figure


def _added(requests: Any) -> Figure:
    def figure_of(name: str, kind: str) -> Spread:
        return Spread.of(figures(name, kind, "wall", requests))

    return _bars(requests["sites"], figure_of, "microseconds added (logarithmic)", log=True)


def _load(part: Any) -> Figure:
    def figure_of(name: str, kind: str) -> Spread:
        return Spread.of(part["sites"][name][kind]["rate"])

    return _bars(part["sites"], figure_of, "requests a second", log=False)


def _arrivals(part: Any) -> Figure:
    def figure_of(name: str, kind: str) -> Spread:
        found = part["sites"][name][kind]
        return Spread(found["p99"] / 1000, found["p50"] / 1000, found["p99.9"] / 1000)

    label = "milliseconds: the 99th percentile; lines from the median to the 99.9th"
    figure = _bars(part["sites"], figure_of, label, log=False)
    figure.axes[-1].set_xlabel(f"{label}; light: read, dark: write")
    return figure


def _growth(part: Any) -> Figure:
    figure = Figure(figsize=(8, 3.2))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, kind in zip(axes, ("read", "write"), strict=True):
        for name, kinds in part["size"].items():
            site, found = SITES[name], kinds[kind]
            axis.plot(
                [int(size) for size in found],
                [quantile(times, 0.5) for times in found.values()],
                marker="o",
                label=f"{site.framework.title()}: {site.title}",
            )
        axis.set(xscale="log", yscale="log", title=kind, xlabel="bytes of the session")
    axes[0].set_ylabel("microseconds added")
    axes[1].legend(fontsize=7)
    return figure
