"""``python -m benchmarks.scale``: what so many sessions need, as far as figures tell."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from rich.console import Console

from benchmarks.report.tables import terminal
from benchmarks.scale.answers import Answers
from benchmarks.scale.measured import Measured
from benchmarks.scale.plan import Plan
from benchmarks.scale.tables import GROUPS

SESSIONS = (1e6, 1e8, 1e9)


def main(arguments: list[str] | None = None) -> int:
    """Show the tables, or write the page."""
    options = _parser().parse_args(arguments)
    plan = Plan(**{part.name: getattr(options, part.name) for part in fields(Plan)})
    measured = Measured.read(options.measured)
    if options.keep:
        measured.keep()
    answers = Answers(plan, measured, sorted(options.sessions))
    if options.markdown:
        from benchmarks.scale.page import write_page  # matplotlib, for this alone

        write_page(answers, options.markdown)
        return 0
    shown = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for name, group in GROUPS.items():
        if not options.only or name in options.only:
            for table in group(answers):
                shown.print(terminal(table))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description="What so many sessions need."
    )
    parser.add_argument(
        *("--sessions", "-n"),
        type=float,
        nargs="+",
        default=SESSIONS,
        metavar="N",
        help="how many are stored; one or several",
    )
    parser.add_argument(
        "--measured", type=Path, metavar="FILE", help='of make bench ARGS="--json FILE"'
    )
    parser.add_argument(
        "--keep", action="store_true", help="commit that: benchmarks/scale/measured.json"
    )
    parser.add_argument("--only", action="append", choices=GROUPS, help="some of the tables")
    parser.add_argument(
        "--markdown", type=Path, metavar="PAGE", help="docs/scale.md, whose tables are renewed"
    )
    for part in fields(Plan):
        parser.add_argument(
            f"--{part.name.replace('_', '-')}",
            type=type(part.default),
            default=part.default,
            metavar="X",
            help=f"{part.metadata['meaning']} ({part.default})".replace("%", "%%"),
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
