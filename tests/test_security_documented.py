"""docs/security.md has every requirement of its list, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

TESTS = Path(__file__).resolve().parent
DOCS = TESTS.parent / "docs"
PAGE = (DOCS / "security.md").read_text()
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| (\d) \| (.+?) \| (.+) \|$", re.MULTILINE)
ROWS = {number: (int(level), does, proof) for number, level, does, proof in ROW.findall(PAGE)}
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")

# OWASP ASVS 5.0: chapter 7 whole, and what else touches session cookies and their store.
LEVELS = {
    number: level
    for level, numbers in {
        1: "7.2.1 7.2.2 7.2.3 7.2.4 7.4.1 7.4.2 3.3.1 9.1.1",
        2: "7.1.1 7.1.2 7.1.3 7.3.1 7.3.2 7.4.3 7.4.4 7.4.5 7.5.1 7.5.2 7.6.1 7.6.2"
        " 1.3.9 1.5.2 3.3.2 3.3.3 3.3.4 9.2.2 11.2.2 12.3.1 12.3.2 13.2.2 14.3.2"
        " 16.2.5 16.5.2 16.5.3",
        3: "7.5.3 3.3.5 11.2.4 13.1.2 13.1.3 15.4.1 15.4.2",
    }.items()
    for number in numbers.split()
}


@cache
def names_in(file: str) -> set[str]:
    """The names of the tests in a file, those in classes included."""
    tree = ast.parse((TESTS / file).read_text(), file)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, functions) and node.name.startswith("test_")
    }


def test_every_requirement_is_there_with_its_level() -> None:
    assert len(ROW.findall(PAGE)) == len(ROWS)
    assert {number: level for number, (level, _, _) in ROWS.items()} == LEVELS


@pytest.mark.parametrize("number", LEVELS)
def test_each_has_a_proof_or_says_whose_part_it_is(number: str) -> None:
    _, _, proof = ROWS[number]
    assert NAMED.search(proof) or re.search(r"\*\*(the application's part|not yet)\*\*", proof)


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 100
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).is_file() or name not in names_in(file)
    ]
    assert not missing


def test_nothing_that_looks_like_a_test_is_named_otherwise() -> None:
    assert PAGE.count("::test_") == len(NAMED.findall(PAGE))


def test_every_attacker_is_proven_or_explained() -> None:
    table = PAGE.partition("## Who can do what")[2].partition("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 12
    for row in rows:
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        assert len(cells) == 4, row
        assert NAMED.search(cells[3]) or cells[2] == "-", row


def test_the_access_list_is_the_one_that_is_tested() -> None:
    # tests/test_stores_documented.py runs the store under the one in the reference.
    pattern = re.compile(r"^ACL SETUSER .+$", re.MULTILINE)
    assert pattern.findall(PAGE)[0] in pattern.findall(
        (DOCS / "reference" / "stores.md").read_text()
    )
