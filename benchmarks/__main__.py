"""``python -m benchmarks``, which is what ``make bench`` runs."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import Progress, TextColumn

from benchmarks import machine
from benchmarks.goals import goals
from benchmarks.parts import PARTS, Context, run_part
from benchmarks.report.tables import tables, terminal
from benchmarks.servers import run_servers

BUSY = 1.0
"""The load average from which on a run is not to be trusted much."""


def main() -> int:
    """Measure, or show what was measured before; 1 if a goal is not met."""
    options = _parser().parse_args()
    console = Console(stderr=True, highlight=False)
    result = json.loads(options.show.read_text()) if options.show else _measure(options, console)
    shown = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for table in tables(result):
        shown.print(terminal(table))
    if options.markdown:
        from benchmarks.report.page import write_page  # matplotlib, for this alone

        write_page(result, options.markdown)
    _warn_of(result, console)
    return 1 if any(goal.verdict == "not met" for goal in goals(result)) else 0


def _measure(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    names = [name for name in PARTS if not options.only or name in options.only]
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    result: dict[str, Any] = {
        "about": machine.describe(),
        "quick": options.quick,
        "seed": seed,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "load before": machine.load(),
        "took": {},
    }
    _warn_of(result, console)
    start = monotonic()
    with run_servers() as servers, Progress(
        *Progress.get_default_columns(), TextColumn("{task.fields[at]}"), console=console
    ) as progress:  # fmt: skip
        for name in names:
            task = progress.add_task(name, total=1.0, at="starting")

            def show(done: float, at: str, task: Any = task) -> None:
                progress.update(task, completed=done, at=at)

            context = Context(servers, os.environ, options.quick, seed, show)
            began = monotonic()
            result[name] = run_part(name, context)
            result["took"][name] = monotonic() - began
            result["seconds"] = monotonic() - start
            result["load after"] = machine.load()
            if options.json:  # after each part: the next may fail, and a run takes a while
                options.json.write_text(json.dumps(result, indent=1) + "\n")
            progress.update(task, completed=1.0, at="")
    return result


def _warn_of(result: dict[str, Any], console: Console) -> None:
    if result["load before"] > BUSY:
        console.print(
            f"The machine was busy before this run (load average {result['load before']:.1f}): "
            "figures are worth little.",
            style="bold red",
        )


def _parser() -> argparse.ArgumentParser:
    parts = "; ".join(f"{name}: {about}" for name, about in PARTS.items())
    parser = argparse.ArgumentParser(prog="bench", description=f"Parts: {parts}.")
    parser.add_argument("--quick", action="store_true", help="fewer samples: under two minutes")
    parser.add_argument(
        *("--only", "-o"),
        action="append",
        default=[],
        choices=PARTS,
        metavar="PART",
        help="one of the parts; may be repeated",
    )
    parser.add_argument("--seed", type=int, help="of the order in which turns are taken")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure goes there")
    parser.add_argument("--show", type=Path, metavar="FILE", help="do not measure: show a --json")
    parser.add_argument(
        "--markdown", type=Path, metavar="PAGE", help="docs/performance.md, which is written anew"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
