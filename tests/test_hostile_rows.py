"""Every row of "Hostile input" in docs/security.md has tests of its number, where it says."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "security.md"
ROWS = range(1, 38)
ADAPTERS = {"site", "make_site"}
"""The fixtures of a test that runs in all three adapters."""


@cache
def written() -> dict[int, dict[str, set[str]]]:
    """By row and module: the arguments of the tests whose names begin with ``test_rowNN_``."""
    found: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if named := re.match(r"test_row(\d\d)_", node.name):
                module = path.relative_to(TESTS).as_posix()
                found[int(named[1])][module] |= {argument.arg for argument in node.args.args}
    return found


def documented() -> dict[int, list[str]]:
    """By row: the modules that the table names."""
    section = PAGE.read_text().partition("## Hostile input\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", section, re.MULTILINE)
    return {int(number): re.findall(r"`([^`]*)`", modules) for number, modules in rows}


def test_every_row_has_a_test_of_its_number_in_all_adapters() -> None:
    found = written()
    assert sorted(found) == list(ROWS)
    for number, modules in found.items():
        assert any(arguments & ADAPTERS for arguments in modules.values()), number


def test_the_page_names_the_module_of_every_row() -> None:
    assert documented() == {number: sorted(written()[number]) for number in ROWS}
