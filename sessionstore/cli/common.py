"""What the commands share: the store's URL, calls with a deadline, errors in plain words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import click
from rich.console import Console
from rich.table import Table

from sessionstore.core.errors import (
    ConfigurationError,
    NotReplicated,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.flow import Command, Flow, run
from sessionstore.settings import URL_VARIABLE
from sessionstore.stores.base import Store
from sessionstore.stores.location import parse
from sessionstore.stores.url import open_store

T = TypeVar("T")

PLAIN_WORDS: Final[tuple[tuple[type[StoreError], str], ...]] = (
    (StoreUnavailable, "The store cannot be reached"),
    (StoreRefused, "The store refuses us"),
    (StoreFull, "The store takes no writes"),
    (NotReplicated, "The store did it, but on fewer servers than was asked for"),
    (OutcomeUnknown, "The store did not say whether it did what was asked"),
)


@runtime_checkable
class NamesItsServer(Protocol):
    """A store that can say what server it talks to."""

    def server(self) -> Flow[str]:
        """The server's name and version."""


def url_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """``URL``, else ``SESSIONSTORE_URL``."""
    return click.argument("url", envvar=URL_VARIABLE, required=False)(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program.")(
        command
    )


@contextmanager
def opened(url: str | None, **options: Any) -> Iterator[Store]:
    """The store of this URL, closed afterwards; a wrong URL is a usage error (exit status 2)."""
    if not url:
        raise click.UsageError(f"Which store? Give its URL, or set {URL_VARIABLE}.")
    with configuration_errors():
        store = open_store(url, **options)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def configuration_errors() -> Iterator[None]:
    """What the caller must change: a usage error, without a traceback."""
    try:
        yield
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None


def call(store: Store, flow: Flow[T]) -> T:
    """Run a flow of the store's, within the store's timeout.

    :raises StoreError: it failed
    """
    deadline = time.monotonic() + store.timeout

    def execute(command: Command[Any]) -> Any:
        return store.execute(command, deadline)

    return run(flow, execute)


def in_plain_words(error: StoreError) -> str:
    """What the error means, and its own message."""
    for kind, words in PLAIN_WORDS:
        if isinstance(error, kind):
            return f"{words}: {error}"
    return str(error)


def display_url(url: str) -> str:
    """A URL that can be shown: where the store is, without password and options."""
    location = parse(url)
    hosts = ",".join(
        (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        for host, port in location.hosts
    )
    user = ""
    if location.password is not None:
        user = f"{location.username or ''}:***@"
    return f"{location.scheme}://{user}{hosts}{location.path}"


def visible(text: str) -> str:
    """A text from a session, with what could steer a terminal spelled out."""
    return text if text.isprintable() else repr(text)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2))


def print_table(
    *headings: str, rows: Sequence[tuple[str, ...]], right: int | None = None, lines: bool = False
) -> None:
    """Print a table; nothing in it is markup, and nothing is cut off.

    :param right: the column of numbers, set to the right
    :param lines: whether to rule between rows, where they have several lines each
    """
    table = Table(*headings, show_header=any(headings), show_lines=lines, highlight=False)
    for index, column in enumerate(table.columns):
        column.overflow = "fold"
        column.justify = "right" if index == right else "left"
    for row in rows:
        table.add_row(*row)
    # Made here, so that it writes to what is stdout now.
    Console(markup=False, highlight=False, emoji=False).print(table)
