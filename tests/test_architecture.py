"""The layers, as facts about the source. import-linter holds the rest (`make check`)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "sessionstore"
MODULES = sorted(PACKAGE.rglob("*.py"))

# I/O, clocks, randomness, locks, drivers, frameworks: what a flow is given, it does not take.
IMPURE = {
    *("socket", "ssl", "select", "asyncio", "anyio", "threading", "multiprocessing", "subprocess"),
    *("time", "random", "secrets"),
    *("redis", "hiredis", "sqlalchemy", "aiosqlite", "psycopg", "flask", "django", "starlette"),
}
# What is pure by its name outside core/ too: the flows of a store, apart from its transports.
PURE = [
    *sorted((PACKAGE / "core").rglob("*.py")),
    PACKAGE / "stores" / "base.py",
    *sorted(PACKAGE.glob("stores/*/commands.py")),
    *sorted(PACKAGE.glob("stores/*/failures.py")),
    *(
        PACKAGE / "stores" / "memcached" / f"{module}.py"
        for module in ("messages", "meta", "binary", "conversation", "login", "examination", "ring")
    ),
]


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The top-level name of every absolute import, wherever it stands, and its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from ((alias.name.partition(".")[0], node.lineno) for alias in aliases)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0], node.lineno


@pytest.mark.parametrize("path", PURE, ids=name)
def test_flows_take_no_clock_no_randomness_and_no_driver(path: Path) -> None:
    tree = ast.parse(path.read_text(), str(path))
    found = [f"line {line}: {module}" for module, line in imported(tree) if module in IMPURE]
    assert not found


@pytest.mark.parametrize("path", PURE, ids=name)
def test_flows_do_not_ask_for_the_time_or_for_entropy(path: Path) -> None:
    """`datetime.now` and `os.urandom` need no import that the test above could see."""
    forbidden = {"now", "utcnow", "today", "urandom", "uuid1", "uuid4", "getrandom"}
    tree = ast.parse(path.read_text(), str(path))
    found = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in forbidden
    ]
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_has_at_most_350_lines(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 350


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_pickles(path: Path) -> None:
    """Not even to read: unpickling is code execution for whoever can write to the store."""
    tree = ast.parse(path.read_text(), str(path))
    forbidden = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
    assert not forbidden & {module for module, _ in imported(tree)}


@pytest.mark.once
@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=name)
def test_what_an_attacker_could_guess_is_compared_in_constant_time(path: Path) -> None:
    """Signatures, authenticators and hashes of secrets; `hmac.compare_digest` is for them."""
    secrets = ("signature", "secret_hash", "_mac(", ".hash", "digest(")
    tree = ast.parse(path.read_text(), str(path))
    found = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(
            isinstance(operator, (ast.Eq, ast.NotEq, ast.In, ast.NotIn)) for operator in node.ops
        )
        and any(secret in ast.unparse(node) for secret in secrets)
    ]
    assert not found
