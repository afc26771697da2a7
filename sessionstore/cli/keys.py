"""Secret and encryption keys for a command: from files or the environment, never arguments."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from sessionstore.settings import FALLBACKS_VARIABLE, SECRET_VARIABLE

ENCRYPTION_VARIABLE: Final = "SESSIONSTORE_ENCRYPTION_KEY"


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--secret-key-file`` and ``--encryption-key-file``."""
    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    secret = click.option(
        "--secret-key-file",
        type=path,
        help=f"A file of secret keys, one a line, newest first. Else {SECRET_VARIABLE} is used.",
    )
    encryption = click.option(
        "--encryption-key-file",
        type=path,
        help="The same for encryption keys, where sessions are encrypted."
        f" Else {ENCRYPTION_VARIABLE}.",
    )
    return secret(encryption(command))


def secret_keys(file: Path | None) -> tuple[bytes, ...]:
    """The keys that authenticate records.

    :raises click.UsageError: there are none
    """
    keys = _keys(file, SECRET_VARIABLE, FALLBACKS_VARIABLE)
    if not keys:
        raise click.UsageError(
            "A record is read only after its authenticator was checked. Set"
            f" {SECRET_VARIABLE}, or give --secret-key-file, with the app's own key."
        )
    return keys


def encryption_keys(file: Path | None) -> tuple[bytes, ...]:
    """The keys that decrypt records; often none."""
    return _keys(file, ENCRYPTION_VARIABLE)


def _keys(file: Path | None, variable: str, fallbacks: str = "") -> tuple[bytes, ...]:
    if file is None:
        key = os.environ.get(variable, "")
        retired = os.environ.get(fallbacks, "").split() if fallbacks else []
        return tuple(text.encode() for text in (key, *retired)) if key else ()
    lines = (line.strip() for line in file.read_bytes().splitlines())
    keys = tuple(line for line in lines if line)
    if not keys:
        raise click.UsageError(f"{file} has no key in it.")
    return keys
