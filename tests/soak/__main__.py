"""``python -m tests.soak``, which is what ``make soak`` runs."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tests.soak import report
from tests.soak.running import Settings, run
from tests.soak.stores import STORES
from tests.soak.users import Load
from tests.support.pages import put_into


def main() -> int:
    """Soak, or show what came of it before; 1 if a goal was missed."""
    options = _parser().parse_args()
    console = Console(stderr=True, highlight=False)
    if options.show:
        results = [json.loads(file.read_text()) for file in options.show]
    else:
        results = [_soak(options, console)]
    shown = Console(width=None if sys.stdout.isatty() else 160)
    for result in results:
        shown.print(report.processes(result))
    shown.print(report.table(results))
    if options.markdown:
        put_into(options.markdown, report.markdown(results), "soak")
    missed = [miss for result in results for miss in result["misses"]]
    for miss in missed:
        console.print(f"Missed: {miss}", style="bold red", markup=False)
    return 1 if missed else 0


def _soak(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    settings = Settings(
        seconds=options.seconds, rate=options.rate, margin=options.margin, seed=seed
    )
    console.rule(f"{options.store}, {settings.seconds:.0f} s, --seed {seed}")
    progress = Progress(settings.seconds)
    with Live(console=console, get_renderable=progress.line, refresh_per_second=1):
        result = run(
            options.store,
            settings,
            lambda text: console.print(f"{progress.elapsed:6.1f} s  {text}", markup=False),
            progress.of,
        )
    for finding in result["findings"][:10]:
        console.print(finding, style="red", markup=False)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


class Progress:
    """A line that says how far it is."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = time.monotonic()
        self._load: Load | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self._began

    def of(self, load: Load) -> None:
        """It begins now."""
        self._load, self._began = load, time.monotonic()

    def line(self) -> Text:
        """To be shown again and again."""
        if self._load is None:
            return Text("servers and sites start")
        samples = self._load.samples
        errors = sum(sample.failed for sample in samples)
        return Text(
            f"{self.elapsed:.0f} of {self._seconds:.0f} s: {len(samples):,} requests, "
            f"{errors:,} errors, {len(self._load.recorder.owners):,} sessions"
        )


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="soak",
        description="Three frameworks on one store for a long time, with users, faults, restarts.",
    )
    parser.add_argument("--store", choices=sorted(STORES), default="redis", help="(%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=defaults.seconds, help="how long (%(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=defaults.rate, help="requests a second (%(default)s)"
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=defaults.margin,
        help="seconds that a busy machine may add to a deadline (%(default)s)",
    )
    parser.add_argument("--seed", type=int, help="of a run to be repeated, as far as may be")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything, to look into")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables for the docs")
    parser.add_argument(
        "--show",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="no soak: what --json has written of earlier ones, one column each",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
