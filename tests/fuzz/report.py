"""The figures, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tests.fuzz.running import Result

COLUMNS: Final = (
    *("parser", "minutes", "executions", "a second", "edges", "features", "corpus", "findings"),
)


def cells(result: Result) -> list[str]:
    """A row."""
    return [
        result.title,
        f"{result.seconds / 60:.1f}",
        f"{result.executions:,}",
        f"{result.rate:,.0f}",
        f"{result.edges:,}",
        f"{result.features:,}",
        f"{result.corpus:,}",
        str(len(result.findings)),
    ]


def markdown(results: Sequence[Result]) -> str:
    """For the documentation."""
    lines = [list(COLUMNS), ["---", *["---:"] * (len(COLUMNS) - 1)], *map(cells, results)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table(results: Sequence[Result]) -> Any:
    """For the terminal."""
    from rich.table import Table

    made = Table(*COLUMNS, "new inputs", title="Fuzzing")
    for result in results:
        made.add_row(*cells(result), str(result.new), style="red" if result.findings else "")
    return made
