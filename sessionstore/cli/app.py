"""The group that the commands belong to."""

from __future__ import annotations

import click

from sessionstore.cli.doctor import doctor
from sessionstore.cli.inspect import inspect
from sessionstore.cli.new_key import new_key
from sessionstore.cli.ping import ping
from sessionstore.cli.purge import purge


@click.group()
@click.version_option(package_name="sessionstore")
def cli() -> None:
    """Server-side sessions: keys, and a look at the store that keeps them.

    A store's URL is given as an argument or, so that no password is to be seen in the list of
    processes, in the environment as SESSIONSTORE_URL.
    """


for _command in (new_key, ping, doctor, purge, inspect):
    cli.add_command(_command)
