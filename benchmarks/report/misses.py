"""Why a goal is missed: what it is bound by, and what would move it. Words alone; the figures are
in the page's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from benchmarks.goals import Goal


class Why(NamedTuple):
    """One kind of goal.

    :param part: what is in the goal's name
    """

    part: str
    title: str
    text: str


WHY: Final = (
    Why(
        ": added time, read",
        "Added time on a read",
        "One round trip to Redis, which nothing here can shorten (*its commands alone, on a plain"
        " socket* is that), and Python: verifying the token, authenticating and decoding the"
        " record, comparing it at the end, and the framework's own way to and from its session. The"
        " peers with a store spend theirs on a second command or on redis-py's command layer. A"
        " core in a compiled language would move it, which is one more thing to install and to"
        " trust; so would skipping the signature or the record's authenticator, which are why"
        " neither a guessed cookie nor a write to the store lets anybody in.",
    ),
    Why(
        ": added time, write",
        "Added time on a write",
        "A read, and then a second round trip: a compare-and-set can only follow a read. The peers"
        " send a blind SET, with which the later of two requests wipes out what the earlier one"
        " stored; a cookie session sends nothing, and the later answer's cookie wins. On top come"
        " encoding and authenticating the record, and the framework's own formatting of"
        " `Set-Cookie`. A smaller share of it could go by a compiled core; the second command"
        " could not.",
    ),
    Why(
        ": added time, rotate",
        "Added time on a rotation",
        "As a write, and a new secret and token, in one compare-and-set. The peers delete a record"
        " and write another, with no session in between, or leave the old one alive.",
    ),
    Why(
        "own CPU",
        "The session layer's own CPU",
        "Between two batches of one site all the others have had the processor, so its caches are"
        " cold: in a loop of its own the same code takes far less. It is many small functions,"
        " each once, of which none stands out (*Where the time goes*). Fewer and longer functions"
        " would save some of it, and a compiled core most.",
    ),
    Why(
        "Starlette under load",
        "Starlette under load",
        "One worker, so requests a second are the CPU time of one request, and Starlette's own is"
        " small. Its cookie session verifies one HMAC and reads JSON; here are a command by way of"
        " the event loop, and the record. starsessions is slower by its second command on a read,"
        " and writes blindly.",
    ),
    Why(
        "Flask under load",
        "Flask under load",
        "As the added time; the two workers, Redis and wrk share the processors.",
    ),
    Why(
        "async store, 50 tasks",
        "The async store",
        "Python's share of a command: a flow, a future, and waking up its task. The bytes of all"
        " tasks go out in one write for each turn of the loop.",
    ),
    Why(
        "async Memcached store",
        "The async Memcached store",
        "emcache is compiled (Cython), and does no more than a get. Here a command is a flow, a"
        " future, a parser in Python, and waking up its task; one connection carries all of them."
        " A compiled parser would move it, as hiredis does for Redis.",
    ),
    Why(
        "`import sessionstore`",
        "The import",
        "Most of it is the standard library's and two dependencies': ormsgpack imports dataclasses,"
        " datetime, enum, uuid and zoneinfo, itsdangerous imports json and typing. The rest is what"
        " is needed for any session.",
    ),
    Why(
        "the wheel",
        "The wheel",
        "Clients, topologies and log-ins for Redis and Memcached are more than half of it; the core"
        " and the three adapters together would fit. Two wheels would meet the goal, and make"
        " version conflicts possible between them.",
    ),
)


def explained(goals: Iterable[Goal]) -> Iterator[str]:
    """A paragraph for each kind of goal that was missed."""
    missed = [goal.what for goal in goals if goal.verdict == "not met"]
    for why in WHY:
        if any(why.part in what for what in missed):
            yield f"**{why.title}.** {why.text}\n"
