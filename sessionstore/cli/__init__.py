"""The ``sessionstore`` command.

=============  ==============================================================
app.py         the group that the commands belong to
common.py      what they share: the URL, errors in plain words, tables
keys.py        secret and encryption keys from files or the environment
new_key.py     ``sessionstore new-key``
ping.py        ``sessionstore ping URL``
doctor.py      ``sessionstore doctor URL``
diagnosis/     what the doctor says about which facts
purge.py       ``sessionstore purge URL``
inspect.py     ``sessionstore inspect URL HANDLE``
=============  ==============================================================
"""

from __future__ import annotations

import importlib.util
import io
import secrets
import sys

from sessionstore.core.errors import MissingExtra


def main() -> None:
    """The entry point: says which extra to install where click and rich are missing."""
    # Looked for, and not inferred from an ImportError, so that a broken installation of click
    # is not reported as a missing extra.
    if any(importlib.util.find_spec(library) is None for library in ("click", "rich")):
        # The library's own errors recommend this one command to everybody.
        if sys.argv[1:] == ["new-key"]:
            sys.stdout.write(f"{fresh_key()}\n")
            return
        sys.exit(str(MissingExtra("the sessionstore command", "cli")))
    from sessionstore.cli.app import cli

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A session may hold any character, and a terminal or pipe may take only ASCII.
        sys.stdout.reconfigure(errors="backslashreplace")
    cli(prog_name="sessionstore")


def fresh_key() -> str:
    """256 random bits as 43 letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(32)
