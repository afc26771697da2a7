"""Lost servers, restarts and storms, as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from benchmarks.report.tables import Table
from benchmarks.scale.answers import Answers, Point
from benchmarks.scale.losing import ELECTION, at_risk, memcached_away, redis_away
from benchmarks.scale.queueing import answered
from benchmarks.scale.restarting import memcached_rolling, reconnecting, redis_rolling
from benchmarks.scale.units import count, percent, rate, seconds, short
from sessionstore.stores.base import DEFAULT_TIMEOUT

QUICK_LAG: Final = 0.001
"""Seconds; a replica in the same data centre, with nothing in its way."""
STORMS: Final = (10, 50, 100, 150, 200, 400)
"""Beside the plan's own."""


def losses(answers: Answers) -> Iterable[Table]:
    """Of a Redis primary, and of a Memcached server."""
    yield _redis_loss(answers)
    yield _memcached_loss(answers)


def _redis_loss(answers: Answers) -> Table:
    plan, away = answers.plan, redis_away(answers.plan)
    rows = []
    for point in answers.points:
        share = 1 / point.redis.servers
        risks = []
        for durable in ("0", "1", "all"):
            pairs = [
                at_risk(point.demand, point.redis.servers, lag, durable)
                for lag in (QUICK_LAG, plan.lag)
            ]
            risks.append("; ".join(f"{short(risk.logins)}, {short(risk.saves)}" for risk in pairs))
        held = point.demand.loads * share * DEFAULT_TIMEOUT / point.apps.servers
        refused = point.demand.loads * share * away
        rows.append(
            [count(point.demand.sessions), percent(share), count(refused), short(held), *risks]
        )
    return Table(
        "A Redis primary is lost",
        f"For {seconds(away)} (`cluster-node-timeout` and {ELECTION} s) its share of the sessions"
        f" gets 503. *Held*: requests of each app server, which has {plan.processes * plan.threads}"
        f" threads, that wait for it in the first {seconds(DEFAULT_TIMEOUT)}, until the circuit"
        " breakers are open. Then for each `durable`:"
        " acknowledged writes that are lost on average if the replica is"
        f" {seconds(QUICK_LAG)} behind; {seconds(plan.lag)}: logins and logouts, others.",
        ["sessions", "share", "answered 503", "held", "durable=0", "durable=1", "durable=all"],
        rows,
    )


def _memcached_loss(answers: Answers) -> Table:
    away = memcached_away()
    rows = []
    for point in answers.points:
        ring, servers = point.ring, point.ring_servers
        refused = point.demand.loads * ring.largest
        logins = point.demand.sessions * ring.largest
        rows.append(
            [
                count(point.demand.sessions),
                f"{servers:,}",
                percent(ring.largest),
                f"{count(logins)}; {rate(refused)}",
                count(refused * away),
                count(logins),
                percent(ring.next_most),
                percent((servers - 1) / servers),
            ]
        )
    return Table(
        "A Memcached server is lost, that with the most sessions",
        "`failover=error`: its sessions, and what is answered 503 until it is back. `next` and"
        f" `copies=2`: what is answered 503 in the {seconds(away)} until the next one takes over;"
        " then with `next` its sessions are unknown, with `copies=2` none. *Growth*: of the server"
        " that gets the most of its load. For comparison, a list in which the next one takes all"
        " would double that one's load; *modulo*: the sessions that would move if the server were"
        " the hash modulo their number.",
        [
            *("sessions", "servers", "share", "error: sessions; 503", "next, copies=2: 503"),
            *("next: logged out", "growth", "modulo"),
        ],
        rows,
    )


def restarts(answers: Answers) -> Iterable[Table]:
    """Of the app servers, and of the store's."""
    rows = []
    for point in answers.points:
        for title, threaded in (("threads", True), ("asyncio", False)):
            plain, tls = (
                reconnecting(
                    answers.plan, answers.measured, point.apps, "redis", threaded=threaded, tls=tls
                )
                for tls in (False, True)
            )
            rows.append(
                [
                    count(point.demand.sessions),
                    title,
                    seconds(tls.deploy),
                    rate(tls.rolling),
                    f"{percent(plain.rolling_load)}, {percent(tls.rolling_load)}",
                    f"{seconds(plain.together)}, {seconds(tls.together)}",
                    f"{seconds(plain.spread)}, {seconds(tls.spread)}",
                ]
            )
    yield Table(
        "App servers are restarted",
        "New connections to each Redis primary: a second, in a rolling restart; the share of its"
        " thread that they take; what they take if all come at once; and over how long they must be"
        " spread to take no more than a fifth of it. Without TLS, with it.",
        ["sessions", "apps", "rolling restart", "connections", "thread", "at once", "spread over"],
        rows,
    )
    yield Table(
        "The store's servers are restarted, one by one",
        "Redis: the replica takes over, and the server is filled anew. Memcached with `copies=2`:"
        " a `touch_interval` between two, for the sessions to get their copies back; with one copy,"
        " each restart logs out the sessions of that server.",
        ["sessions", "Redis: each", "in all", "copies=2: each", "in all", "one copy: logged out"],
        [_rolling_row(answers, point) for point in answers.points],
    )


def _rolling_row(answers: Answers, point: Point) -> list[str]:
    redis = redis_rolling(answers.plan, point.redis, ELECTION)
    copied = memcached_rolling(answers.plan, point.copied)
    return [
        count(point.demand.sessions),
        seconds(redis.each),
        seconds(redis.seconds),
        seconds(copied.each),
        seconds(copied.seconds),
        count(point.demand.sessions),
    ]


def storms(answers: Answers) -> Iterable[Table]:
    """Waiting in general, and a storm of logins."""
    [*_, largest] = answers.points
    services = {
        1: answers.service("redis", largest.redis),
        answers.plan.cores: answers.service("memcached", largest.memcached),
    }
    rows = []
    for threads, loads in answers.waiting.items():
        title = "Redis" if threads == 1 else f"Memcached, {threads} threads"
        times = [answered(found, 0.99) * services[threads] for found in loads.values()]
        rows.append([title, *map(seconds, times)])
    yield Table(
        "How long 99 % of the commands take at most, by how busy the server is",
        "In a queue before threads that are equally quick (M/D/1, M/D/c), without the network.",
        ["server", *(percent(load) for load in next(iter(answers.waiting.values())))],
        rows,
    )
    yield _storm(answers, largest)


def _storm(answers: Answers, point: Point) -> Table:
    rows = []
    for times in sorted({*STORMS, answers.plan.storm}):
        found = answers.stormy(point, times)
        row = [f"{times:g} x", rate(found.logins), percent(found.load)]
        if found.outcome is None:
            row += ["none", "never", ""]
        else:
            opened = found.outcome.opened
            row += [
                percent(found.outcome.failed_in_storm),
                "never" if opened is None else f"after {seconds(opened)}",
                seconds(found.outcome.recovery),
            ]
        rows.append(row)
    return Table(
        "A login storm",
        f"With {count(point.demand.sessions)} sessions on {point.redis.servers} Redis primaries;"
        " each login is three commands. *Busy*: what is asked of a primary's thread, in what it can"
        " do. Beyond that, by simulation: the commands, everybody's, that fail of those in its five"
        " seconds, when the first circuit breaker opens, and how long after the storm's end the"
        " last command fails.",
        ["logins", "a second", "busy", "errors", "a breaker opens", "over after"],
        rows,
    )
