"""``sessionstore inspect URL HANDLE``: what the store holds for one session."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from sessionstore.cli.common import (
    call,
    configuration_errors,
    in_plain_words,
    json_option,
    opened,
    print_json,
    print_table,
    visible,
)
from sessionstore.cli.keys import encryption_keys, key_options, secret_keys
from sessionstore.core import codec, expiry, record
from sessionstore.core.errors import CodecError, RecordUnreadable, StoreError
from sessionstore.core.record import Record
from sessionstore.core.sealing import Sealer
from sessionstore.core.token import HANDLE_FORM, TOKEN_LENGTH
from sessionstore.settings import URL_VARIABLE
from sessionstore.stores.base import Store

MAX_SIZE: Final = 64 * 2**20
"""Bytes: enough for any application's ``max_size``, and a bound on what a record can cost us."""

WHY_UNREADABLE: Final = {
    "format": "its format is not one that this version knows",
    "key": "none of the given keys made it: is a fallback or an encryption key missing?",
    "authenticator": "it is not what one of the keys has authenticated for this handle",
    "malformed": "it is damaged, or larger than can be read here",
}


# Handles begin with any of base64url's characters: one with "-" must not pass for an option.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, metavar="[URL] HANDLE")
@key_options
@click.option("--values", "with_values", is_flag=True, help="Show the attributes' values as well.")
@json_option
def inspect(
    arguments: tuple[str, ...],
    secret_key_file: Path | None,
    encryption_key_file: Path | None,
    with_values: bool,
    as_json: bool,
) -> None:
    """Show a session's metadata, and its attributes' names and sizes.

    HANDLE is the session's public id, as in logs: 16 characters. Values are personal data and
    shown only with --values. Reading it here does not count as activity. Exit status: 0 if it was
    read, 1 if there is no such session or it cannot be read, 2 if an argument is wrong.
    """
    url, handle = _url_and_handle(arguments)
    with configuration_errors():
        sealer = Sealer(
            secret_keys(secret_key_file),
            encryption_keys(encryption_key_file),
            max_size=MAX_SIZE,
        )
    with opened(url) as store:
        found, size = _load(store, handle, sealer)
    facts, attributes = _facts(handle, found, size), _attributes(found, with_values)
    if as_json:
        print_json({**facts, "attributes": attributes})
    else:
        _print(facts, attributes)


def _url_and_handle(arguments: tuple[str, ...]) -> tuple[str | None, str]:
    if not 1 <= len(arguments) <= 2:
        raise click.UsageError(f"Give a store's URL (or set {URL_VARIABLE}) and a handle.")
    handle = arguments[-1]
    # A token is a credential: it must not end up in a shell's history, and is never repeated.
    if len(handle) == TOKEN_LENGTH or handle.count(".") == 3:
        raise click.UsageError(
            "This looks like a token, which is a credential:"
            " give the handle, its first 16 characters."
        )
    if not HANDLE_FORM.fullmatch(handle):
        raise click.UsageError("A handle has 16 characters: letters, digits, - and _.")
    url = arguments[0] if len(arguments) == 2 else os.environ.get(URL_VARIABLE)
    return url, handle


def _load(store: Store, handle: str, sealer: Sealer) -> tuple[Record, int]:
    try:
        entry = call(store, store.load(store.key(handle)))
    except StoreError as error:
        raise click.ClickException(in_plain_words(error)) from None
    if entry is None:
        raise click.ClickException(
            f"There is no session {handle} under the prefix {store.prefix!r}:"
            " it has ended, or there never was one."
        )
    try:
        return record.decode(entry.value, handle, sealer), len(entry.value)
    except RecordUnreadable as error:
        raise click.ClickException(
            f"There is a record of {len(entry.value)} bytes, but it cannot be read:"
            f" {WHY_UNREADABLE[error.reason]}."
        ) from None


def _facts(handle: str, found: Record, size: int) -> dict[str, Any]:
    ends = expiry.deadline(found.touched, found.idle, found.absolute)
    return {
        "handle": handle,
        "subject": found.subject,
        "created": _time(found.created),
        "authenticated": None if found.authenticated is None else _time(found.authenticated),
        "touched": _time(found.touched),
        "idle_timeout": found.idle,
        "absolute_deadline": _time(found.absolute),
        "ends": _time(ends),
        "over": ends <= time.time(),
        "browser_session": found.browser,
        "epoch": found.epoch,
        "revision": found.counter,
        "stored_bytes": size,
    }


def _attributes(found: Record, with_values: bool) -> list[dict[str, Any]]:
    listed = []
    for name, data in sorted(found.attributes.items()):
        attribute: dict[str, Any] = {"name": name, "bytes": len(data)}
        if with_values:
            attribute["value"] = _value(data)
        listed.append(attribute)
    return listed


def _value(data: bytes) -> str:
    """As Python would write it, which also spells out control characters."""
    try:
        return repr(codec.decode(data))
    except CodecError as error:
        return f"<unreadable: {error}>"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _print(facts: dict[str, Any], attributes: list[dict[str, Any]]) -> None:
    shown = {**facts, "idle_timeout": str(timedelta(seconds=facts["idle_timeout"]))}
    rows = [(name.replace("_", " "), _text(value)) for name, value in shown.items()]
    print_table("", "", rows=rows)
    if not attributes:
        click.echo("No attributes.")
        return
    headings = ["attribute", "bytes", *(["value"] if "value" in attributes[0] else [])]
    print_table(
        *headings,
        rows=[
            (visible(one["name"]), str(one["bytes"]), *([one["value"]] if "value" in one else []))
            for one in attributes
        ],
        right=1,
    )


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return visible(str(value))
