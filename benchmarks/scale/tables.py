"""The answers as tables, in groups that the page has a place for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Final

from benchmarks.report.tables import Table
from benchmarks.scale.answers import Answers, Point
from benchmarks.scale.balance_tables import balance
from benchmarks.scale.failure_tables import losses, restarts, storms
from benchmarks.scale.measured import FRAMEWORKS
from benchmarks.scale.memory import memcached_memory, redis_usage
from benchmarks.scale.plan import Plan
from benchmarks.scale.sizing import Size, session_cores
from benchmarks.scale.units import count, memory, network, percent, rate, seconds, short

SIZES: Final = (200, 600, 4096)
SEALINGS: Final = ("no compression", "zlib", "zstd", "zstd, encrypted")
LARGE: Final = 10_000
"""Redis's own ``maxclients``."""


def measured(answers: Answers) -> Iterable[Table]:
    """What everything rests on, each figure with its source."""
    found = answers.measured
    rows = []
    for server in ("redis", "memcached"):
        for verb in answers.points[0].demand.verbs:
            value = found.value(answers.plan.bytes, answers.plan.sealing)
            cost = found.cost(server, verb, value)
            rows.append(
                [
                    f"{server}: {verb}",
                    f"{seconds(cost.alone)}; {seconds(cost.together)}",
                    f"{cost.received:.0f} B; {cost.sent:.0f} B",
                    f"`costs.{server}.verbs.{verb}`",
                ]
            )
        plain, tls = (found.connect(server, tls=tls) for tls in (False, True))
        source = f"`costs.{server}.connect`"
        rows.append([f"{server}: a new connection; by TLS", _both(plain, tls), "", source])
    for framework in FRAMEWORKS:
        read, write = (found.request(framework, kind) for kind in ("read", "write"))
        source = f"`requests.sites.{framework}:sessionstore`"
        rows.append([f"{framework.title()}, on a read; a write", _both(read, write), "", source])
    yield Table(
        "Measured",
        f"{found.about}. CPU of the server for a command: alone on its connection; among those of"
        " 50 tasks. Of a request: what the session adds to the app's own.",
        ["of", "CPU", "received; sent", "in the benchmark's result"],
        rows,
    )


def _both(one: float, other: float) -> str:
    return f"{seconds(one)}; {seconds(other)}"


def assumed(answers: Answers) -> Iterable[Table]:
    """What was not measured."""
    rows = [
        [f"`--{part.name.replace('_', '-')}`", _plain(getattr(answers.plan, part.name)), meaning]
        for part in fields(Plan)
        if (meaning := part.metadata["meaning"])
    ]
    yield Table("Assumed", "Each is an option of the command.", ["option", "here", "what"], rows)


def _plain(value: object) -> str:
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


def sizing(answers: Answers) -> Iterable[Table]:
    """Demand, servers, connections."""
    yield Table(
        "What is asked of the store",
        "At the peak. *replace*: a save, a login's rotation or a touch; in brackets the touches.",
        ["sessions", "requests", "load", "replace", "create", "delete"],
        [_demand_row(point) for point in answers.points],
    )
    heads = ["sessions", "each", "memory", "for memory", "for commands", "servers", "commands"]
    heads += ["busy", "received", "sent"]
    yield Table(
        "Redis",
        "Primaries, for the memory alone and for the commands alone; the more of both (three are"
        " the fewest of a cluster) and their replicas. Commands, and how busy its thread is: of one"
        " primary. Received, sent: of all together; what is written goes to each replica besides.",
        heads,
        [[*_size_row(point, point.redis), *_network_row(point.redis)] for point in answers.points],
    )
    yield Table(
        "Memcached",
        "The same, with one copy of each session and with two (`copies=2`). Busy: of all threads.",
        ["copies", *heads],
        [
            [copies, *_size_row(point, size), *_network_row(size)]
            for point in answers.points
            for copies, size in (("1", point.memcached), ("2", point.copied))
        ],
    )
    yield apps(answers)


def _demand_row(point: Point) -> list[str]:
    demand, verbs = point.demand, point.demand.verbs
    return [
        count(demand.sessions),
        rate(demand.requests),
        rate(verbs["load"]),
        f"{rate(verbs['replace'])} ({count(demand.touches)})",
        rate(verbs["create"]),
        rate(verbs["delete"]),
    ]


def _size_row(point: Point, size: Size) -> list[str]:
    copies = f" + {size.copies:,}" if size.copies else ""
    return [
        count(point.demand.sessions),
        f"{size.each:.0f} B",
        memory(size.data),
        f"{size.by_memory:,}",
        f"{size.by_commands:,}",
        f"{size.servers:,}{copies}",
        rate(sum(size.commands.values()) / size.servers),
        percent(size.load),
    ]


def _network_row(size: Size) -> list[str]:
    return [network(size.received), network(size.sent)]


def apps(answers: Answers) -> Table:
    """App servers and their connections."""
    rows = []
    for point in answers.points:
        found = point.apps
        cores = [
            session_cores(answers.plan, answers.measured, point.demand, framework)
            for framework in FRAMEWORKS
        ]
        # As if each cost what a load does: what `stats` costs was not measured.
        cost = answers.measured.cost("memcached", "load", _value(answers)).alone
        watching = found.watching * cost / answers.plan.cores
        rows.append(
            [
                count(point.demand.sessions),
                count(found.servers),
                ", ".join(map(short, cores)),
                _connections(found.threaded),
                _connections(found.shared),
                rate(found.slot_questions),
                f"{rate(found.watching)} ({percent(watching)})",
            ]
        )
    return Table(
        "App servers",
        "Cores that sessions keep busy, of all together: under Flask, Django, Starlette."
        f" Connections at most, to *each* server of the store; (!): more than {LARGE:,}, Redis's"
        " own `maxclients` (Memcached's `-c` is 1,024 unless it is told otherwise). *Slots*:"
        " questions to the whole cluster; *watching*: to *each* Memcached server with"
        " `failover=next` or `copies=2`, and of its threads' time, if one costs as much as a load.",
        ["sessions", "servers", "cores", "threads' connections", "asyncio's", "slots", "watching"],
        rows,
    )


def _connections(number: int) -> str:
    return f"{count(number)} (!)" if number > LARGE else count(number)


def sealed(answers: Answers) -> Iterable[Table]:
    """Memory of a session by size and compression."""
    found = answers.measured
    rows = []
    for sealing in SEALINGS:
        row = [sealing]
        for size in SIZES:
            value = found.value(size, sealing)
            redis = redis_usage(value) + found.redis_tables
            row.append(f"{redis:,.0f} B, {memcached_memory(value) + found.memcached_table:,.0f} B")
        rows.append(row)
    yield Table(
        "Bytes of a session",
        "In Redis, in Memcached; columns: as JSON. Compression was told to begin at 100 bytes"
        " (`compress_over`); by default it does at 1,024.",
        ["stored with", *(f"{size:,} B" for size in SIZES)],
        rows,
    )


def touching(answers: Answers) -> Iterable[Table]:
    """The price of each setting."""
    for name, settings in answers.touching.items():
        [*_, largest] = answers.points
        every = settings[0.0]
        rows = []
        for share, found in settings.items():
            writes = largest.demand.requests * found.touches
            busy = writes * answers.measured.cost("redis", "replace", _value(answers)).alone
            rows.append(
                [
                    f"{share:g} x idle" if share else "every read",
                    short(found.touches * 1000),
                    rate(writes),
                    short(busy),
                    seconds(found.most_early),
                    seconds(found.early),
                    short(max(0.0, found.ended - every.ended) * 1000),
                ]
            )
        yield Table(
            f"Touches, with an idle timeout of {name}",
            f"Of 1,000 requests; a second, with {count(largest.demand.sessions)} sessions; seconds"
            " of Redis's CPU a second for these. How much earlier than the idle timeout a session"
            " would end: at most, on average; and of 1,000 visits those that find it ended for"
            " that.",
            ["touch_interval", "touches", "writes", "CPU", "at most", "on average", "ended"],
            rows,
        )


def _value(answers: Answers) -> int:
    return answers.measured.value(answers.plan.bytes, answers.plan.sealing)


GROUPS: Final[dict[str, Callable[[Answers], Iterable[Table]]]] = {
    "sizing": sizing,
    "memory": sealed,
    "touching": touching,
    "balance": balance,
    "losses": losses,
    "restarts": restarts,
    "storms": storms,
    "measured": measured,
    "assumed": assumed,
}
"""In the page's order, by the name of the place where they go."""
