"""A run's tables, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.table import Table as RichTable

from benchmarks.calling import KINDS
from benchmarks.clients import CLIENTS, CONCURRENCY, OPERATIONS
from benchmarks.goals import Goal, figures, goals, raw_ratio
from benchmarks.parts.arrivals import PERCENTILES
from benchmarks.parts.load import KINDS as KINDS_OF_LOAD
from benchmarks.parts.sizes import SIZES
from benchmarks.profiling import NAMES
from benchmarks.sites import BASE, SITES
from benchmarks.statistics import Spread, added, quantile
from benchmarks.wrk import CONNECTIONS

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Headings and rows of text.

    :param about: how to read it
    :param bad: numbers of rows that are misses
    """

    title: str
    about: str
    heads: Sequence[str]
    rows: list[list[str]]
    bad: set[int] = field(default_factory=set)


def tables(result: Result) -> Iterator[Table]:
    """All that this run has figures for; the goals come first."""
    yield goals_table(result)
    if "requests" in result:
        for framework in ("Flask", "Django", "Starlette"):
            yield requests_table(result["requests"], framework)
    if "profiles" in result:
        yield profiles_table(result["profiles"])
    if "clients" in result:
        for server in ("redis", "memcached"):
            yield clients_table(result["clients"], server)
    if "load" in result:
        yield load_table(result["load"])
    if "arrivals" in result:
        yield arrivals_table(result["arrivals"])
    if "growth" in result:
        yield from growth_tables(result["growth"])
    if "sizes" in result:
        yield sizes_table(result["sizes"])
    if "costs" in result:
        yield costs_table(result["costs"])
    if "startup" in result:
        yield startup_table(result["startup"])


# -- goals --


def goals_table(result: Result) -> Table:
    """Every goal."""
    found = [goal for goal in goals(result) if goal.found is not None]
    bad = {number for number, goal in enumerate(found) if goal.verdict == "not met"}
    return Table(
        "Goals",
        "*Close*: half of the rounds lie around the goal, so that another run may say otherwise.",
        ["goal", "wanted", "found", "quartiles", "verdict"],
        [_goal(goal) for goal in found],
        bad,
    )


def _goal(goal: Goal) -> list[str]:
    assert goal.found is not None
    found = goal.found
    spread = "" if found.low == found.high else f"{_number(found.low)} to {_number(found.high)}"
    wanted = f"{goal.sign} {_number(goal.wanted)} {goal.unit}".strip()
    close = ", close" if goal.is_close else ""
    return [goal.what, wanted, _number(found.median), spread, f"{goal.verdict}{close}"]


def _number(value: float) -> str:
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


# -- requests --


def requests_table(requests: Mapping[str, Any], framework: str) -> Table:
    """What each kind of session adds in one framework."""
    rows = []
    trip = quantile(requests["round trip"]["wall"], 0.5)
    for name, site in SITES.items():
        if site.framework != framework.lower() or site.session == BASE:
            continue
        rows.append([site.title, *(_added(requests, name, kind, trip) for kind in KINDS)])
    base = requests["sites"][f"{framework.lower()}:{BASE}"]["read"]["wall"]
    return Table(
        f"{framework}: what a session adds to a request",
        "Microseconds added to the same request without a session (CPU of the process in brackets),"
        " the same in round trips of a plain socket, and store commands."
        f" That request takes {quantile(base, 0.5):.0f} µs, that round trip {trip:.0f} µs.",
        ["session", *KINDS],
        rows,
    )


def _added(requests: Mapping[str, Any], name: str, kind: str, trip: float) -> str:
    wall = Spread.of(figures(name, kind, "wall", requests))
    cpu = Spread.of(figures(name, kind, "cpu", requests))
    text = f"{_signed(wall.median)} ({cpu.median:.0f}) µs, {_signed(wall.median / trip, 1)} rt"
    commands = requests["sites"][name][kind].get("commands")
    if commands is None:
        return text
    return f"{text}, {sum(commands.values()):g} cmd"


def _signed(value: float, digits: int = 0) -> str:
    return f"{value:+.{digits}f}"


# -- profiles --


def profiles_table(profiles: Mapping[str, Any]) -> Table:
    """Whose time a request takes."""
    rows = [
        [SITES[name].framework.title(), kind, *(f"{shares[each]:.0%}" for each in NAMES)]
        for name, kinds in profiles.items()
        for kind, shares in kinds.items()
    ]
    return Table(
        "Where the time goes",
        "Shares of the whole request with sessionstore on Redis, by cProfile, which slows down what"
        " makes many calls: so these are rough. *Sockets* is the wait for Redis as well.",
        ["framework", "request", *NAMES],
        rows,
    )


# -- clients --


def clients_table(part: Mapping[str, Any], server: str) -> Table:
    """Clients of one server."""
    rows = []
    for name, client in CLIENTS.items():
        if client.server != server:
            continue
        for operation in OPERATIONS:
            cells = [_rate(part, name, f"{operation} {count}") for count in CONCURRENCY]
            rows.append([f"{client.title} ({client.style})", operation, *cells])
    return Table(
        f"{server.title()}: clients",
        "Operations a second; CPU of the client's process for each; the median time of one in those"
        " of a plain socket. sessionstore's *set* is a compare-and-set, as a session's write is.",
        ["client", "operation", *(f"{count} at once" for count in CONCURRENCY)],
        rows,
    )


def _rate(part: Mapping[str, Any], name: str, case: str) -> str:
    found = part["clients"][name][case]
    rate, cpu = (quantile(found[what], 0.5) for what in ("rate", "cpu"))
    return f"{rate:,.0f}/s, {cpu:.0f} µs, {raw_ratio(part, name, case):.2f} x"


# -- whole servers --


def load_table(part: Mapping[str, Any]) -> Table:
    """Requests a second."""
    rows = []
    for name, kinds in part["sites"].items():
        site = SITES[name]
        base = part["sites"].get(site.base)
        cells = []
        for kind, found in kinds.items():
            rate = Spread.of(found["rate"])
            text = f"{rate.median:,.0f}/s ({rate.low:,.0f} to {rate.high:,.0f})"
            if base is not None:
                share = rate.median / quantile(base[kind]["rate"], 0.5)
                text += f", {share:.2f} of the same without sessions"
            cells.append(text)
        rows.append([site.framework.title(), site.title, *cells])
    workers = ", ".join(f"{name.title()} {count}" for name, count in part["workers"].items())
    return Table(
        "Requests a second",
        f"wrk with {CONNECTIONS} connections for {part['seconds']} s at a time, each request by"
        f" another user. Workers: {workers}. Quartiles in brackets.",
        ["framework", "session", *KINDS_OF_LOAD],
        rows,
    )


def arrivals_table(part: Mapping[str, Any]) -> Table:
    """Waiting at a fixed rate."""
    rows = []
    for name, kinds in part["sites"].items():
        for kind, found in kinds.items():
            times = [f"{found[each] / 1000:.1f}" for each in PERCENTILES]
            rows.append([SITES[name].framework.title(), SITES[name].title, kind, *times])
    return Table(
        "Waiting, at a fixed rate of arrivals",
        f"Milliseconds until the answer, of requests that arrive {part['rate']:.0f} times a second"
        " whatever became of those before; counted from when each was due, so that a stall counts"
        " for all who came during it.",
        ["framework", "session", "request", *PERCENTILES],
        rows,
    )


def growth_tables(part: Mapping[str, Any]) -> Iterator[Table]:
    """How cost grows."""
    for title, about, heads, cases in (
        (
            "Growth: attributes",
            f"Microseconds added with that many attributes, of {part['attributes size']:,} bytes.",
            "attributes",
            part["attributes"],
        ),
        ("Growth: size", "Microseconds added by a session of that size.", "bytes", part["size"]),
        (
            "Growth: stored sessions",
            "Microseconds added while the store holds that many sessions.",
            "sessions",
            part["stored"],
        ),
    ):
        rows = []
        for name, kinds in cases.items():
            for kind, found in kinds.items():
                cells = [f"{quantile(times, 0.5):.0f}" for times in found.values()]
                rows.append([SITES[name].framework.title(), SITES[name].title, kind, *cells])
        columns = list(next(iter(next(iter(cases.values())).values())))
        yield Table(
            title,
            about,
            ["framework", "session", "request", *(f"{int(n):,} {heads}" for n in columns)],
            rows,
        )
    if "workers" in part:
        yield _workers_table(part["workers"])


def _workers_table(workers: Mapping[str, Any]) -> Table:
    rows = [
        [
            SITES[name].framework.title(),
            SITES[name].title,
            kind,
            *(f"{quantile(rates, 0.5):,.0f}/s" for rates in found.values()),
        ]
        for name, kinds in workers.items()
        for kind, found in kinds.items()
    ]
    columns = list(next(iter(next(iter(workers.values())).values())))
    return Table(
        "Growth: workers",
        "Requests a second, by number of worker processes. Of several workers of uvicorn, answers"
        " wait for the client's delayed acknowledgement (40 ms on Linux), with sessions or without:"
        " it makes their socket in a way that asyncio does not switch Nagle's algorithm off on.",
        ["framework", "session", "request", *(f"{count} workers" for count in columns)],
        rows,
    )


# -- sizes and start-up --


def sizes_table(sizes: Mapping[str, Any]) -> Table:
    """Bytes in Redis."""
    rows = []
    for title, found in sizes.items():
        each = [found[str(size)] for size in SIZES]
        rows.append([title, *(f"{one['memory']:,} ({one['value']:,})" for one in each)])
    return Table(
        "Bytes of a session in Redis",
        "`MEMORY USAGE`, with the key and what the allocator rounds up to; in brackets the length"
        " of the value. The server's tables of keys and of expiries come on top of it, about 60 B."
        " Columns: the session as JSON without spaces.",
        ["stored by", *(f"{size:,} B" for size in SIZES)],
        rows,
    )


def costs_table(part: Mapping[str, Any]) -> Table:
    """What a server spends on sessions."""
    rows = []
    for server, costs in part.items():
        for verb, cost in costs["verbs"].items():
            cpu = ", ".join(f"{quantile(cost[way], 0.5):.1f} µs" for way in ("alone", "together"))
            rows.append([server, verb, cpu, f"{cost['received']:.0f} B", f"{cost['sent']:.0f} B"])
        for kind, cpu in costs["connect"].items():
            rows.append([server, f"a new connection, {kind}", f"{cpu:.0f} µs", "", ""])
    return Table(
        "What sessions cost their server",
        "Its own count of its CPU time, for one command at a time on a connection, and for 50 tasks"
        " on one; and of what it received and sent. Connections: with the first command.",
        ["server", "for", "CPU", "received", "sent"],
        rows,
    )


def startup_table(part: Mapping[str, Any]) -> Table:
    """What imports take."""
    nothing = part["imports"]["nothing"]
    rows = []
    for name, times in part["imports"].items():
        if name != "nothing":
            spread = Spread.of(added(times, nothing))
            rows.append([name, f"{spread.median:.1f} ms", f"{spread.low:.1f} to {spread.high:.1f}"])
    return Table(
        "Start-up",
        f"Milliseconds beyond a bare Python ({quantile(nothing, 0.5):.0f} ms)."
        " `sessionstore` imports nothing until one of its names is used, so what a process with"
        f" sessions takes is the row *SessionManager*. The wheel has {part['wheel']:,} bytes.",
        ["import", "median", "quartiles"],
        rows,
    )


# -- as text --


def terminal(table: Table) -> RichTable:
    """For rich."""
    made = RichTable(*table.heads, title=table.title, caption=table.about)
    for number, row in enumerate(table.rows):
        made.add_row(*row, style="red" if number in table.bad else "")
    return made


_ALIGN: Final = "---"


def markdown(table: Table) -> str:
    """For the page."""
    lines = [list(table.heads), [_ALIGN] * len(table.heads), *table.rows]
    body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{table.about}\n\n{body}"
