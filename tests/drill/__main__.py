"""``python -m tests.drill``, which is what ``make drill`` runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from tests.drill import report
from tests.drill.running import Settings, run
from tests.drill.scenario import Scenario
from tests.drill.scenarios import CONTROL, SCENARIOS
from tests.support.pages import put_into


def main() -> int:
    """Run the scenarios; 1 if a goal was missed."""
    options = _parser().parse_args()
    console = Console(stderr=True, highlight=False)
    settings = Settings(rate=options.rate, seconds=options.seconds, margin=options.margin)
    results = []
    for scenario in _chosen(options.only):
        console.rule(f"{scenario.title}, {scenario.setting} ({scenario.name})")
        result = run(scenario, settings, lambda text: console.print(text, markup=False))
        results.append(result)
        for line in [*result.misses(), *result.tally.findings[:10]]:
            console.print(f"  {line}", style="red", markup=False)
    rows = [result.row() for result in results]
    Console(width=None if sys.stdout.isatty() else 250).print(report.table(rows))
    if options.json:
        found = [result.as_json() for result in results]
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    for page in options.markdown:
        shown = [row for row in rows if row["page"] == page.stem]
        put_into(page, report.markdown(shown), "drill")
    missed = [result.scenario.name for result in results if result.misses()]
    if missed:
        console.print(f"Goals missed: {', '.join(missed)}", style="bold red")
    return 1 if missed else 0


def _chosen(names: list[str]) -> list[Scenario]:
    if not names:
        return list(SCENARIOS)
    known = (*SCENARIOS, CONTROL)
    return [scenario for scenario in known if any(map(scenario.name.startswith, names))]


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(scenario.name for scenario in (*SCENARIOS, CONTROL))
    parser = argparse.ArgumentParser(
        prog="drill", description=f"Sites under load while their servers fail. Scenarios: {names}."
    )
    parser.add_argument(
        *("--only", "-o"),
        action="append",
        default=[],
        metavar="NAME",
        help="scenarios whose name begins so; may be repeated",
    )
    defaults = Settings()
    for name, text in (
        ("rate", "requests a second, over both sites"),
        ("seconds", "of load for each scenario, at least"),
        ("margin", "seconds that a busy machine may add to a deadline"),
    ):
        parser.add_argument(
            f"--{name}",
            type=float,
            default=getattr(defaults, name),
            help=f"{text} (%(default)s)",
        )
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything, to look into")
    parser.add_argument(
        "--markdown",
        type=Path,
        action="append",
        default=[],
        metavar="PAGE",
        help="docs/redis.md or docs/memcached.md, whose table is replaced; may be repeated",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
