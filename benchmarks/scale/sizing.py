"""How many servers of which kind the demand needs, and what their connections carry."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from benchmarks.scale.balance import fullest_on_the_ring
from benchmarks.scale.measured import Cost, Measured
from benchmarks.scale.memory import COPY_HEADER, memcached_memory, redis_usage
from benchmarks.scale.plan import GIB, Demand, Plan
from sessionstore.stores.memcached.membership import PACE
from sessionstore.stores.memcached.store import DEFAULT_MAX_CONNECTIONS
from sessionstore.stores.redis.cluster import INTERVAL, SLOTS

SMALLEST_CLUSTER = 3
"""Primaries: with fewer, no majority is left to promote a replica."""
QUESTIONS = 2
"""Of each look at a Memcached server with ``failover=next``: its statistics, and the notes."""
LOOKS_APART = PACE.pause * 0.9
"""Seconds: the pause is drawn from 0.8 of it to the whole."""


@dataclass(frozen=True)
class Size:
    """Of a store.

    :param each: bytes of memory for each session, all its copies together
    :param data: bytes in all
    :param by_memory: servers that hold primaries, for the memory alone
    :param by_commands: the same, for the commands alone
    :param servers: the more of the two, or what the plan asked for
    :param copies: servers beside those, which only hold replicas
    :param commands: a second, by verb
    :param received: bytes a second, by all servers together, from app servers
    :param sent: bytes a second, to them
    :param load: share of its time that a server's work takes, of one thread or of all of them
    """

    each: float
    data: float
    by_memory: int
    by_commands: int
    servers: int
    copies: int
    commands: dict[str, float]
    received: float
    sent: float
    load: float


def redis_size(plan: Plan, measured: Measured, demand: Demand) -> Size:
    """One thread of each primary does all the work; a replica is a server of the same size."""
    value = measured.value(plan.bytes, plan.sealing)
    each = redis_usage(value) + measured.redis_tables
    data = each * demand.sessions
    room = plan.memory * GIB * (1 - plan.reserved) * plan.fill
    costs = {verb: measured.cost("redis", verb, value) for verb in demand.verbs}
    work = _work(demand.verbs, costs)
    by_memory, by_commands = ceil(data / room), max(1, ceil(work / plan.busy))
    needed = max(by_memory, by_commands)
    servers = plan.nodes or (needed if needed == 1 else max(SMALLEST_CLUSTER, needed))
    received, sent = _network(demand.verbs, costs)
    return Size(
        each=each,
        data=data,
        by_memory=by_memory,
        by_commands=by_commands,
        servers=min(servers, SLOTS),
        copies=servers * plan.replicas,
        commands=demand.verbs,
        received=received,
        sent=sent,
        load=work / servers,
    )


def memcached_size(plan: Plan, measured: Measured, demand: Demand, copies: int) -> Size:
    """Every thread of a server works.

    :param copies: 1, or 2 with ``copies=2``
    """
    record = measured.value(plan.bytes, plan.sealing)
    value = record if copies == 1 else record + COPY_HEADER
    each = (memcached_memory(value) + measured.memcached_table) * copies
    data = each * demand.sessions
    by_memory = _enough_for_the_fullest(data / (plan.memory * GIB * plan.fill))
    servers = by_memory
    while True:  # a logout with two copies is told to every server, so that more make more work
        servers = max(servers, copies)
        verbs = demand.verbs if copies == 1 else copied(demand, servers)
        costs = {verb: measured.cost("memcached", verb, value) for verb in verbs}
        work = _work(verbs, costs) / plan.cores
        by_commands = max(1, ceil(work / plan.busy))
        if by_commands <= servers:
            break
        servers = by_commands
    received, sent = _network(verbs, costs)
    return Size(
        each, data, by_memory, by_commands, servers, 0, verbs, received, sent, work / servers
    )


def _enough_for_the_fullest(wanted: float) -> int:
    """Servers, of which the fullest one on the ring has room: a full one evicts sessions.

    :param wanted: as many, were all of them alike
    """
    servers = ceil(wanted)
    while wanted * fullest_on_the_ring(servers) > servers:
        servers += 1
    return servers


def copied(demand: Demand, servers: int) -> dict[str, float]:
    """Commands a second with ``copies=2`` while no server is lost (``docs/memcached.md``).

    A save is the home, a look at the copy, and the copy; a logout is one and one for each server,
    which stores a tombstone.
    """
    verbs = demand.verbs
    return {
        "load": verbs["load"] + verbs["replace"],
        "replace": verbs["replace"] * 2,
        "create": verbs["create"] * 2,
        "delete": verbs["delete"] * (1 + servers),
    }


def _work(verbs: dict[str, float], costs: dict[str, Cost]) -> float:
    """Seconds of CPU a second, by the dearer way: one command at a time on a connection."""
    return sum(rate * costs[verb].alone for verb, rate in verbs.items())


def _network(verbs: dict[str, float], costs: dict[str, Cost]) -> tuple[float, float]:
    received = sum(rate * costs[verb].received for verb, rate in verbs.items())
    sent = sum(rate * costs[verb].sent for verb, rate in verbs.items())
    return received, sent


@dataclass(frozen=True)
class Apps:
    """The app servers.

    :param servers: how many
    :param processes: of all of them
    :param threaded: connections to each of the store's servers where threads do the work, at most
    :param shared: the same, of asyncio: one for each event loop
    """

    servers: int
    processes: int
    threaded: int
    shared: int

    @classmethod
    def of(cls, plan: Plan, demand: Demand) -> Apps:
        """By the requests that one can serve."""
        servers = max(1, ceil(demand.requests / plan.served))
        processes = servers * plan.processes
        threads = min(plan.threads, DEFAULT_MAX_CONNECTIONS)
        return cls(servers, processes, processes * threads, processes)

    @property
    def slot_questions(self) -> float:
        """``CLUSTER SLOTS`` a second, over the whole cluster."""
        return self.processes / INTERVAL

    @property
    def watching(self) -> float:
        """Questions a second to each Memcached server, with ``failover=next`` or ``copies=2``."""
        return self.processes * QUESTIONS / LOOKS_APART


def session_cores(plan: Plan, measured: Measured, demand: Demand, framework: str) -> float:
    """Seconds of CPU a second that sessions add to all app servers together."""
    return sum(
        rate * measured.request(framework, kind)
        for kind, rate in demand.kinds(plan.untouched).items()
    )
