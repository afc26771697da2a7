"""``python -m tests.model [PAGE]``: a long run of the model and the histories, and its figures.

They are printed, or put into the page between ``<!-- model: begin -->`` and its end.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.support.every_store import STORES
from tests.support.pages import put_into

TESTS = Path(__file__).resolve().parents[1]
CHECKS = ("model/test_model.py::test_it_holds_over_every_store", "concurrency/test_linearizable.py")
COLUMNS = {
    "runs": "runs of the model",
    "commits": "commits judged",
    "commands": "commands",
    "faults": "faults among these",
    "histories": "histories checked",
    "operations": "operations in them",
    "struck": "faults that met one",
}


class Figures:
    """What the tests record, by the store."""

    def __init__(self) -> None:
        self.found: dict[str, Counter[str]] = defaultdict(Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test, or its set-up or tear-down, has ended."""
        names = re.search(r"\[(.+)\]", report.nodeid)
        if report.when != "call" or not report.passed or names is None:
            return
        store = max((name for name in STORES if names[1].startswith(name)), key=len)
        self.found[store].update(_sums(report))

    def table(self) -> str:
        """Markdown."""
        rows = [["store", *COLUMNS.values()], ["---", *["---:"] * len(COLUMNS)]]
        rows += [[it, *(f"{self.found[it][name]:,}" for name in COLUMNS)] for it in STORES]
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _sums(report: pytest.TestReport) -> Counter[str]:
    sums: Counter[str] = Counter()
    for name, value in report.user_properties:
        sums[name] += int(str(value))
    return sums


def main() -> int:
    """Run it; 0 if everything held."""
    figures = Figures()
    tests = [str(TESTS / check) for check in CHECKS]
    options = ["--hypothesis-profile=long", "-q", "-p", "no:cacheprovider"]
    code = int(pytest.main([*tests, *options], plugins=[figures]))
    if code == 0 and len(sys.argv) > 1:
        put_into(Path(sys.argv[1]), figures.table(), "model")
    else:
        sys.stdout.write(figures.table())
    return code


if __name__ == "__main__":
    sys.exit(main())
