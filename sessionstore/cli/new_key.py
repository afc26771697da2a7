"""``sessionstore new-key``: a fresh key, for signing or for encryption."""

from __future__ import annotations

import click

from sessionstore.cli import fresh_key


@click.command("new-key")
def new_key() -> None:
    """Print a fresh key.

    256 random bits as 43 letters, digits, - and _. It serves as SESSIONSTORE_SECRET_KEY, as any
    framework's SECRET_KEY, and as an encryption key; each purpose wants a key of its own.
    """
    click.echo(fresh_key())
