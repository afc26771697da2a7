"""``sessionstore doctor URL``: is the server set up so that sessions last and are safe?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import click

from sessionstore.cli.common import (
    display_url,
    in_plain_words,
    json_option,
    opened,
    print_json,
    print_table,
    url_argument,
    visible,
)
from sessionstore.cli.diagnosis import Finding, Severity, diagnose
from sessionstore.core.errors import StoreError
from sessionstore.core.flow import Command, Flow, run
from sessionstore.stores.base import Examinable, NodeHealth, Sharded, Store

T = TypeVar("T")

HEARING_SECONDS: Final = 3.0
"""How long sentinels are listened for: those that hang take a second to be known as such."""

LEVELS: Final = tuple(severity.label for severity in Severity if severity >= Severity.NOTE)


@click.command()
@url_argument
@click.option(
    "--fail-on",
    type=click.Choice(LEVELS),
    default=Severity.WARNING.label,
    show_default=True,
    help="The least severity with which the exit status is 1.",
)
@json_option
def doctor(url: str | None, fail_on: str, as_json: bool) -> None:
    """Look at how the store's server is set up, and say what is wrong.

    It reads what its user may read and changes no setting. What the server refuses to tell is
    reported as such, and is no failure. If there is no session to measure, a probe record is
    stored under the store's own prefix and deleted again. Exit status: 0 if all is well, 1 if
    there is a finding as bad as --fail-on or the store failed, 2 if an argument is wrong.
    """
    with opened(url) as store:
        server, findings = examined(store)
    worst = max((finding.severity for finding in findings), default=Severity.OK)
    fine = worst < Severity[fail_on.upper()]
    shown = display_url(url or "")
    if as_json:
        listed = [finding.as_json() for finding in findings]
        print_json({"ok": fine, "store": shown, "server": server, "findings": listed})
    else:
        # Versions, policies and names are the server's words.
        click.echo(f"{shown}{'' if server is None else f'  ({visible(server)})'}")
        rows = [(one.severity.label, visible(one.what), visible(one.to_do)) for one in findings]
        print_table("", "what was seen", "what to do", rows=rows, lines=True)
    if not fine:
        raise click.exceptions.Exit(1)


def examined(store: Store) -> tuple[str | None, list[Finding]]:
    """The server's name and what there is to be said, the worst first."""
    servers: Mapping[str, Examinable]
    try:
        if isinstance(store, Sharded):
            servers = store.servers()
        elif isinstance(store, Examinable):
            servers = {"": store}
        else:
            what = "This store cannot tell how it is set up."
            return None, [Finding("not-examinable", Severity.UNKNOWN, what)]
    except StoreError as error:
        return None, [_unusable(error)]
    names, found = {}, {}
    for name, server in servers.items():
        names[name], found[name] = _examined(server)
    # What is said once in the name of all of them is what the first one said.
    version = next((name for name in names.values() if name), None)
    return version, sorted(
        [*together(found), *_unwell(_heard_of(store))], key=lambda finding: -finding.severity
    )


def _examined(server: Examinable) -> tuple[str | None, list[Finding]]:
    try:
        facts = _run(server, server.examine())
    except StoreError as error:
        return None, [_unusable(error)]
    return facts.server, diagnose(facts)


def _unusable(error: StoreError) -> Finding:
    # Whatever else is the matter: nobody has a session while this lasts.
    return Finding(
        "unusable",
        Severity.ERROR,
        in_plain_words(error),
        "`sessionstore ping` does what a session does, step by step.",
    )


def together(found: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """The findings about several servers; what is true of only some of them says of which."""
    of: dict[Finding, list[str]] = {}
    for name, findings in found.items():
        for finding in findings:
            of.setdefault(finding, []).append(name)
    return [
        finding
        if len(names) == len(found)
        else replace(finding, what=f"{', '.join(names)}: {finding.what}")
        for finding, names in of.items()
    ]


def _heard_of(store: Store) -> Sequence[NodeHealth]:
    """The health of all servers, once each has answered or failed to."""
    deadline = time.monotonic() + HEARING_SECONDS
    while True:
        nodes = store.health()
        silent = [node for node in nodes if not node.answered and node.error is None]
        if not any(node.role == "sentinel" for node in silent) or time.monotonic() > deadline:
            return nodes
        time.sleep(0.02)


def _unwell(nodes: Sequence[NodeHealth]) -> list[Finding]:
    """Servers that are not asked for sessions, or were not now: sentinels, replicas, and what
    was left out."""
    kept_out = [
        Finding(
            "kept-out",
            Severity.WARNING,
            f"{node.node} answers and is not used: it was silent for a while, the next server has"
            " its share of the sessions, and what it holds may have been ended since.",
            "Restart it, or flush it (flush_all): then it is taken back by itself.",
        )
        for node in nodes
        if node.kept_out
    ]
    return kept_out + [
        Finding(
            "unwell",
            Severity.WARNING,
            f"The {node.role} {node.node} is of no use now: {node.error}.",
            "Sessions go on without it. Repair it before the next one fails.",
        )
        for node in nodes
        if node.error is not None and node.role != "primary"
    ]


def _run(server: Examinable, flow: Flow[T]) -> T:
    """Each command by a deadline of its own: there are dozens, and nobody waits for a page."""

    def execute(command: Command[Any]) -> Any:
        return server.execute(command, time.monotonic() + server.timeout)

    return run(flow, execute)
