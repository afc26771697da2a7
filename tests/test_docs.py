"""Every ``python`` block of these pages runs, each page's from top to bottom in one namespace.

What cannot run by itself is written as ``{code-block} python`` and is not taken.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [
    "tutorial/first-steps.md",
    "explanation/races.md",
    "how-to/encrypt.md",
    "redis.md",
    "reference/stores.md",
    "how-to/handle-store-failures.md",
    "how-to/merge.md",
    "how-to/rotate-keys.md",
    "how-to/share-sessions.md",
]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[int, str]]:
    """Each block with the line that it begins at."""
    text = page.read_text()
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in _BLOCK.finditer(text)]


def run_blocks(page: Path, namespace: dict[str, Any]) -> None:
    """Run a page's blocks; an error shows the page and its line."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for line, source in blocks(page):
        code = compile("\n" * line + source, str(page), "exec", flags)
        result = eval(code, namespace)  # noqa: S307 (our own pages)
        if inspect.iscoroutine(result):
            asyncio.run(result)


@pytest.mark.parametrize("name", PAGES)
def test_examples_run(name: str) -> None:
    run_blocks(DOCS / name, {"__name__": "example"})


def test_the_tutorials_application_counts_visits() -> None:
    namespace: dict[str, Any] = {"__name__": "example"}
    run_blocks(DOCS / "tutorial" / "first-steps.md", namespace)
    cookie = ""
    for visit in (1, 2, 3):
        seen: dict[str, Any] = {}
        body = namespace["app"](
            {"HTTP_COOKIE": f"other=1; sid=junk; {cookie}"},
            lambda status, headers, seen=seen: seen.update(status=status, headers=dict(headers)),
        )
        assert seen["status"] == "200 OK"
        assert b"".join(body) == f"This is visit number {visit}.\n".encode()
        assert seen["headers"]["Cache-Control"] == "no-store"
        cookie = seen["headers"]["Set-Cookie"].partition(";")[0]
        assert cookie.startswith("sid=")


_write_a_store: dict[str, Any] = {"__name__": "example"}
run_blocks(DOCS / "how-to" / "write-a-store.md", _write_a_store)
# The page's own test class, collected here: the store that it shows keeps the whole contract.
TestTheStoreOfTheHowTo = _write_a_store["TestDictStore"]
