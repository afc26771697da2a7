"""``sessionstore ping URL``: does this store do what sessions need, and how fast?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from sessionstore.cli.common import (
    NamesItsServer,
    call,
    display_url,
    in_plain_words,
    json_option,
    opened,
    print_json,
    print_table,
    url_argument,
)
from sessionstore.core.errors import StoreError
from sessionstore.core.token import HANDLE_BYTES, handle_text
from sessionstore.stores.base import Conflict, Deleted, Entry, Missing, NodeHealth, Store

TTL = 60.0
"""Seconds after which a probe that could not be deleted is gone."""


@dataclass
class Report:
    """What the probe has found so far.

    :param nodes: what was seen of each server, where the store keeps record of that
    :param steps: each step that was done, with the milliseconds it took
    """

    store: str
    server: str | None = None
    nodes: tuple[NodeHealth, ...] = ()
    steps: list[tuple[str, float]] = field(default_factory=list)
    failed: str | None = None
    error: StoreError | None = None

    def as_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "ok": self.error is None,
            "store": self.store,
            "server": self.server,
            "nodes": [
                {"node": node.node, "role": node.role, "error": node.error} for node in self.nodes
            ],
            "milliseconds": {step: round(spent, 3) for step, spent in self.steps},
        }
        if self.error is not None:
            document["failed"] = self.failed
            document["error"] = type(self.error).__name__
            document["reason"] = in_plain_words(self.error)
        return document


@click.command()
@url_argument
@json_option
def ping(url: str | None, as_json: bool) -> None:
    """Connect, then create, load, replace and delete a probe record.

    The probe lies under the store's own prefix, beside the sessions, so that permissions are
    tested too. It expires after a minute if it cannot be deleted. Exit status: 0 if all of it
    worked, 1 if the store failed, 2 if the URL is wrong.
    """
    with opened(url) as store:
        report = Report(display_url(url or ""))
        probe(store, report)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if report.error is not None:
        raise click.exceptions.Exit(1)


def probe(store: Store, report: Report) -> None:
    """Do every step until one fails."""
    for name, step in _steps(store, report):
        began = time.perf_counter()
        try:
            step()
        except StoreError as error:
            report.failed, report.error = name, error
            break
        report.steps.append((name, (time.perf_counter() - began) * 1000))
    report.nodes = store.health()


def _steps(store: Store, report: Report) -> Iterator[tuple[str, Callable[[], None]]]:
    # A handle like a session's, which no token names; format 0 is none that a session has.
    key = store.key(handle_text(os.urandom(HANDLE_BYTES)))
    first, second = (b"\0" + os.urandom(12) + b"sessionstore ping" for _ in range(2))
    version: Any = None

    def connect() -> None:
        if isinstance(store, NamesItsServer):
            report.server = call(store, store.server())
        else:
            call(store, store.load(key))

    def create() -> None:
        nonlocal version
        version = call(store, store.create(key, first, TTL))

    def load() -> None:
        entry = call(store, store.load(key))
        _expect(entry is not None and entry == Entry(first, version), "the record just created")

    def replace() -> None:
        nonlocal version
        version = call(store, store.replace(key, second, TTL, version))
        _expect(not isinstance(version, (Conflict, Missing)), "the record to be replaceable")

    def delete() -> None:
        # As a logout does: where logouts wait for replicas, this shows whether there are any.
        result = call(store, store.critical.delete(key, version))
        _expect(isinstance(result, Deleted), "the record to be deletable")

    yield from (
        ("connect", connect),
        ("create", create),
        ("load", load),
        ("replace", replace),
        ("delete", delete),
    )


def _expect(fulfilled: bool, what: str) -> None:
    if not fulfilled:
        raise StoreError(
            f"It answers, but not as a store of sessions must: expected {what}."
            " Does it evict, or is it several servers behind one address?"
        )


def _print(report: Report) -> None:
    click.echo(f"{report.store}{'' if report.server is None else f'  ({report.server})'}")
    if report.steps:
        rows = [(step, f"{spent:.2f}") for step, spent in report.steps]
        print_table("step", "ms", rows=rows, right=1)
    if len(report.nodes) > 1:
        nodes = [(node.node, node.role, node.error or "") for node in report.nodes]
        print_table("server", "role", "trouble", rows=nodes)
    if report.error is not None:
        click.echo(f"{report.failed} failed. {in_plain_words(report.error)}", err=True)
