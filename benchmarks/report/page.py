"""``docs/performance.md``, written from one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.report.tables import markdown, tables

_HEAD: Final = """\
# Performance

This page is written by `make bench ARGS="--markdown docs/performance.md"`, every figure from one run.

## How it is measured

Every framework with every kind of session, and every client of a store, is a process of its own, and all of them take turns:
in each round each gets a small batch of requests, in an order drawn anew. So whatever else happens on the machine meets all of them.
Figures are medians over the rounds. What a session *adds* is the difference, within a round, to the same site without sessions.
The same small session everywhere ({size} bytes as JSON). Before anything is timed it is read back and compared.

Only ratios within this run mean anything: on another machine, or on this one an hour later, all times are others.
Servers and clients share the machine's {cores} cores, and the network is its loopback: a real one adds its round trip to each store command.
"""


def page(result: Mapping[str, Any]) -> str:
    """The whole page."""
    from benchmarks.data import SIZE

    parts = [_HEAD.format(size=SIZE, cores=result["about"]["cores"]), _run(result)]
    parts += [f"## {table.title}\n\n{markdown(table)}" for table in tables(result)]
    return "\n".join(parts)


def _run(result: Mapping[str, Any]) -> str:
    about = result["about"]
    before, after = result["load before"], result["load after"]
    kind = "a quick run, with few samples" if result["quick"] else "a full run"
    lines = [
        "## This run\n",
        f"{kind.capitalize()}, begun {result['began']}, {result['seconds']:.0f} s, seed {result['seed']}.",
        f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}.",
        f"redis-server {about['redis-server']}, memcached {about['memcached']}; "
        + ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        + ".",
        f"Load average {before:.1f} before, {after:.1f} after.",
    ]
    if before > 1:
        lines.append(
            "\n**The machine was busy with other work: take the ratios with caution, and no time as such.**"
        )
    return "\n".join(lines) + "\n"
