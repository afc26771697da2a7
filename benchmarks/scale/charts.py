"""Two of the answers as SVG files. The same answers make the same bytes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.report.charts import save
from benchmarks.scale.answers import IDLES, Answers
from benchmarks.scale.queueing import answered


def draw(answers: Answers, directory: Path) -> None:
    """Both of them."""
    directory.mkdir(parents=True, exist_ok=True)
    save(partial(_touching, answers), directory / "touching.svg")
    save(partial(_waiting, answers), directory / "waiting.svg")


def _touching(answers: Answers) -> Figure:
    figure = Figure(figsize=(8, 3.0))
    price, loss = figure.subplots(1, 2)
    for name, settings in answers.touching.items():
        shares = [100 * share for share in settings]
        price.plot(
            shares,
            [1000 * found.touches for found in settings.values()],
            marker="o",
            label=f"idle timeout {name}",
        )
        loss.plot(
            shares,
            [100 * found.early / IDLES[name] for found in settings.values()],
            marker="o",
            label=name,
        )
    label = "touch_interval, % of the idle timeout"
    price.set(xlabel=label, ylabel="touches of 1,000 requests", yscale="symlog")
    loss.set(xlabel=label, ylabel="ends earlier on average, % of it")
    price.legend()
    return figure


def _waiting(answers: Answers) -> Figure:
    figure = Figure(figsize=(8, 3.0))
    axis = figure.subplots()
    for threads, loads in answers.waiting.items():
        title = "one thread (Redis)" if threads == 1 else f"{threads} threads (Memcached)"
        times = [answered(found, 0.99) for found in loads.values()]
        axis.plot([100 * load for load in loads], times, marker="o", label=title)
    axis.set(
        xlabel="how busy the server is, %",
        ylabel="99th percentile, in service times",
        ylim=(0, None),
    )
    axis.legend()
    return figure
