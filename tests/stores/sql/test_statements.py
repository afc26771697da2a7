"""The flows, with scripted replies: no database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import BigInteger, bindparam, func
from sqlalchemy.dialects import sqlite

from sessionstore.core.flow import Command, Flow, run
from sessionstore.core.verbs import Conflict, Deleted, Entry, Exists, Missing
from sessionstore.stores.sql.statements import Statements
from sessionstore.testing.driving import value

KEY = b"p:s:handle"
OLD = value(1)[1:13]
NOW: Any = bindparam("now", type_=BigInteger, callable_=lambda: 1000)
STATEMENTS = Statements("t", sqlite.insert, NOW, func.sqlite_version())
THERE = [(value(3),)]
CONFLICT = Conflict(Entry(value(3), value(3)[1:13]))


def scripted(flow: Flow[Any], *replies: Any) -> tuple[Any, list[str]]:
    """The result on these replies, and the names of what was asked, writes in capitals."""
    rest, names = list(replies), []

    def execute(command: Command[Any]) -> Any:
        names.append(command.request[0] if command.write else command.request[0].lower())
        return rest.pop(0)

    return run(flow, execute), names


@pytest.mark.parametrize(
    ("flow", "replies", "result", "names"),
    [
        (lambda s: s.load(KEY), [[]], None, ["select"]),
        (lambda s: s.load(KEY), [THERE], CONFLICT.entry, ["select"]),
        (lambda s: s.create(KEY, value(2), 9), [[(1,)]], value(2)[1:13], ["INSERT"]),
        (lambda s: s.create(KEY, value(2), 9), [[]], Exists(), ["INSERT"]),
        (lambda s: s.replace(KEY, value(2), 9, OLD), [[(1,)]], value(2)[1:13], ["UPDATE"]),
        (lambda s: s.replace(KEY, value(2), 9, OLD), [[], []], Missing(), ["UPDATE", "select"]),
        (lambda s: s.replace(KEY, value(2), 9, OLD), [[], THERE], CONFLICT, ["UPDATE", "select"]),
        (lambda s: s.delete(KEY, None), [[(1,)]], Deleted(), ["DELETE"]),
        (lambda s: s.delete(KEY, None), [[]], Missing(), ["DELETE"]),
        (lambda s: s.delete(KEY, OLD), [[(1,)]], Deleted(), ["DELETE"]),
        (lambda s: s.delete(KEY, OLD), [[], THERE], CONFLICT, ["DELETE", "select"]),
        (lambda s: s.delete(KEY, OLD), [[], []], Missing(), ["DELETE", "select"]),
        (lambda s: s.purge(2), [[(1,), (1,)]], 2, ["PURGE"]),
        (lambda s: s.keys(b"a", b"b"), [[("a1",)]], [b"a1"], ["select"]),
        (lambda s: s.server(), [[("SQLite 3",)]], "SQLite 3", ["select"]),
        (lambda s: s.create_table(), [[], []], None, ["create", "create"]),
    ],
)
def test_flows(
    flow: Callable[[Statements], Flow[Any]], replies: list[Any], result: Any, names: list[str]
) -> None:
    assert scripted(flow(STATEMENTS), *replies) == (result, names)


@pytest.mark.parametrize(
    "flow",
    [
        lambda: STATEMENTS.load(KEY),
        lambda: STATEMENTS.create(KEY, value(1), 9),
        lambda: STATEMENTS.replace(KEY, value(1), 9, OLD),
        lambda: STATEMENTS.delete(KEY, None),
        lambda: STATEMENTS.delete(KEY, OLD),
    ],
    ids=["load", "create", "replace", "delete", "delete_if"],
)
def test_every_verb_looks_at_the_expiry(flow: Callable[[], Flow[Any]]) -> None:
    _, statement, _ = next(flow()).request
    assert "expires" in str(statement.compile(dialect=sqlite.dialect())).partition("WHERE")[2]
