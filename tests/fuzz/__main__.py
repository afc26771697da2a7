"""``python -m tests.fuzz``, which is what ``make fuzz`` runs."""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from tests.fuzz import report
from tests.fuzz.running import ROOT, Result, run
from tests.fuzz.targets import TARGETS
from tests.support.pages import put_into


def main() -> int:
    """Fuzz the targets; 1 if something was found."""
    options = _parser().parse_args()
    console = Console(stderr=True, highlight=False)
    names = [name for name in TARGETS if not options.only or name.startswith(tuple(options.only))]

    def fuzzed(name: str) -> Result:
        def tell(text: str) -> None:
            console.print(f"{name:17} {text}", markup=False, soft_wrap=True)

        tell(f"begins, for {options.seconds} s")
        result = run(name, TARGETS[name], options.seconds, tell)
        for path in result.findings:
            tell("\n".join(["FOUND", *result.output[-40:]]))
            again = f".venv/bin/python -m tests.fuzz.replay {name} {path.relative_to(ROOT)}"
            tell(f"the input is kept; to see it again: {again}")
        tell(f"ends: {result.executions} executions, {len(result.findings)} findings")
        return result

    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(fuzzed, names))
    Console(width=None if sys.stdout.isatty() else 160).print(report.table(results))
    if options.json:
        found = [result.as_json() for result in results]
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.markdown:
        put_into(options.markdown, report.markdown(results), "fuzz")
    return 1 if any(result.findings for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fuzz", description=f"Coverage-guided fuzzing. Targets: {', '.join(TARGETS)}."
    )
    parser.add_argument(
        *("--only", "-o"),
        action="append",
        default=[],
        metavar="NAME",
        help="targets whose name begins so; may be repeated",
    )
    parser.add_argument(
        "--seconds", type=int, default=600, help="for each target (%(default)s = ten minutes)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="targets at once (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything, to look into")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the table for the docs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
