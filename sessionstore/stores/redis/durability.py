"""What is asked behind a durable write, and what the answers mean. No I/O.

``WAIT 1`` counts the replicas that have the write; ``WAITAOF 1 0``, where the server has it (Redis
7.2, Valkey), says whether it is on the server's own disk.

While no replica answers, only one write in ``PROBE_SECONDS`` waits for one; the others look without
waiting (``WAIT 0``), so that a lost replica does not hold every login up.
"""

from __future__ import annotations

import logging
from typing import Any, Final, NamedTuple

from sessionstore.core.errors import StoreUnavailable
from sessionstore.stores.attempts import Failure
from sessionstore.stores.redis.endpoint import pack
from sessionstore.stores.redis.failures import ReplyError
from sessionstore.stores.redis.topology import Node

logger = logging.getLogger("sessionstore")

LATENESS: Final = 0.11
"""Seconds: by so much a quiet Redis may end a WAIT too late, since it looks ten times a second
(measured: 100 ms)."""

REPLICA_SHARE: Final = 0.6
"""Of the time for both: how much is for WAIT where WAITAOF follows."""

DISK_MISSES: Final = 3
"""A disk that has not confirmed in time so many times is not asked again: with ``appendfsync
everysec`` it takes up to a second."""

_LOOK: Final = pack(("WAIT", 0, 1))


class Confirmation(NamedTuple):
    """What is to be confirmed.

    :param wait: for a replica; else it is only looked whether one has the write already
    :param disk: also that it is on the server's disk
    """

    wait: bool
    disk: bool

    def packed(self, remaining: float) -> tuple[bytes, ...]:
        """The commands.

        :param remaining: seconds until the answers must have arrived
        """
        spare = remaining - LATENESS if remaining > 2 * LATENESS else remaining / 2
        replica, disk = spare, spare
        if self.disk and self.wait:
            replica, disk = spare * REPLICA_SHARE, spare * (1 - REPLICA_SHARE)
        first = pack(("WAIT", 1, _milliseconds(replica))) if self.wait else _LOOK
        if not self.disk:
            return (first,)
        return first, pack(("WAITAOF", 1, 0, _milliseconds(disk)))


def wanted(node: Node, now: float) -> Confirmation:
    """What to ask this node for."""
    return Confirmation(node.copies.admits(now), node.waits_for_disk is not False)


def shortfall(node: Node, answers: list[Any], now: float) -> str:
    """What is missing of the confirmations; empty: nothing.

    :param answers: those to :meth:`Confirmation.packed` that have come
    """
    copies = answers[0] if answers else 0
    if type(copies) is not int:
        return "the server does not let us WAIT for a replica"
    if copies < 1:
        node.copies.failed(now, StoreUnavailable("no replica confirms writes"))
        return "no replica has confirmed the write in time"
    node.copies.succeeded()
    if node.waits_for_disk is False or len(answers) < 2:
        return ""
    disk = answers[1]
    if not (isinstance(disk, list) and len(disk) == 2):
        # The server is older than 7.2, has no append-only file, or the user may not ask.
        node.waits_for_disk = False
        return ""
    if disk[0] == 1:
        node.disk_misses = 0
        return ""
    node.disk_misses += 1
    if node.disk_misses >= DISK_MISSES:
        node.waits_for_disk = False
        logger.warning(
            "session store: the disk of %s does not confirm writes in time (appendfsync is not"
            " 'always'?): from now on, durable counts replicas alone",
            node.name,
        )
    return "the server has not confirmed in time that the write is on its disk"


def answered(failure: Failure, main: int) -> list[Any] | None:
    """The write's reply and what has come after it, where only confirmations are late.

    None: the write itself was not answered; or the connection is gone, and with it perhaps the
    server and the write.
    """
    received = failure.received
    if len(received) <= main or type(received[main]) is ReplyError:
        return None
    return list(received)


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
