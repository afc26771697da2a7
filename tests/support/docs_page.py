"""Figures that a run writes into a page of the documentation."""

from __future__ import annotations

from pathlib import Path


def put_into(page: Path, name: str, text: str) -> None:
    """Between the page's marks of that name, if it has them; else it is the page."""
    marks = (f"<!-- {name}: begin -->", f"<!-- {name}: end -->")
    before, begin, rest = (page.read_text() if page.exists() else "").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}" if end else text)
