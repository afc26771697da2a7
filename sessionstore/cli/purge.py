"""``sessionstore purge URL``: delete what has expired, where the store does not do so itself."""

from __future__ import annotations

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sessionstore.cli.common import in_plain_words, opened, url_argument
from sessionstore.core.errors import StoreError
from sessionstore.stores.base import Purgeable


@click.command()
@url_argument
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Rows that one transaction deletes at most.",
)
def purge(url: str | None, batch: int) -> None:
    """Delete expired sessions from a SQL database.

    Expired sessions are never returned, so this is about space alone: run it daily or so. It
    deletes in bounded batches and holds no long lock; it may be interrupted and run again. Stores
    that expire sessions by themselves (Redis, memory) have nothing to do: exit status 0.
    """
    with opened(url) as store:
        if not isinstance(store, Purgeable):
            click.echo("This store expires sessions by itself: there is nothing to do.")
            return
        try:
            deleted = _purge(store, batch)
        except StoreError as error:
            raise click.ClickException(in_plain_words(error)) from None
    click.echo(f"{deleted} expired session{'' if deleted == 1 else 's'} deleted.")


def _purge(store: Purgeable, batch: int) -> int:
    """Delete batch by batch; the progress goes to a terminal's stderr, else nowhere."""
    deleted = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    errors = Console(stderr=True)
    with Progress(
        *columns, console=errors, transient=True, disable=not errors.is_terminal
    ) as progress:
        task = progress.add_task("looking for expired sessions")
        for count in store.purge(batch):
            deleted += count
            progress.update(task, description=f"{deleted} expired sessions deleted")
    return deleted
