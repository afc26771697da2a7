"""Restarts: of the app servers, which all connect anew, and of the store's servers, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from benchmarks.scale.measured import Measured
from benchmarks.scale.plan import Plan
from benchmarks.scale.sizing import Apps, Size

SHAKING = 0.2
"""Share of a server's thread that new connections may take, so that sessions do not notice."""


@dataclass(frozen=True)
class Reconnecting:
    """One server of the store, as app servers connect to it anew.

    :param rolling: connections a second while they are restarted a few at a time
    :param rolling_load: share of the server's thread that these take
    :param deploy: seconds until all app servers are restarted so
    :param together: seconds of the server's CPU if all connect at once
    :param spread: seconds over which that must be spread to take no more than a fifth of it
    """

    rolling: float
    rolling_load: float
    deploy: float
    together: float
    spread: float


def reconnecting(
    plan: Plan, measured: Measured, apps: Apps, server: str, *, threaded: bool, tls: bool
) -> Reconnecting:
    """By the CPU that a connection was measured to cost its server.

    :param threaded: every thread has a connection of its own in the end; else one for each process
    """
    connections = apps.threaded if threaded else apps.shared
    batch = max(1, ceil(apps.servers * plan.at_once))
    deploy = ceil(apps.servers / batch) * plan.restart
    rolling = connections / apps.servers * batch / plan.restart
    cpu = measured.connect(server, tls=tls)
    together = connections * cpu
    return Reconnecting(rolling, rolling * cpu, deploy, together, together / SHAKING)


@dataclass(frozen=True)
class Rolling:
    """The store's servers, restarted one by one.

    :param seconds: that it takes in all
    :param each: seconds that a server takes
    """

    seconds: float
    each: float


def redis_rolling(plan: Plan, size: Size, election: float) -> Rolling:
    """Each primary's replica takes over, and the server that comes back is filled from it."""
    filling = size.data / size.servers * 8 / (plan.link * 1e9)
    each = election + filling
    return Rolling(each * size.servers, each)


def memcached_rolling(plan: Plan, size: Size) -> Rolling:
    """With ``copies=2``: between two servers, as long as until every session that is used has been
    touched, so that it has its copy again (``docs/memcached.md``)."""
    each = plan.idle * plan.touch
    return Rolling(each * size.servers, each)
