"""Figures that a tool writes into a page of the documentation."""

from __future__ import annotations

from pathlib import Path


def put_into(page: Path, text: str, name: str) -> None:
    """Between ``<!-- name: begin -->`` and ``<!-- name: end -->``, if the page has both; else the
    text is the page."""
    begin_mark, end_mark = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, begin, rest = (page.read_text() if page.exists() else "").partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}" if end else text)
