"""Which servers have been left out, as the application's processes tell each other: notes that they
keep on the servers that are left. No I/O.

A note is about one run of a server, from its start to its end: restarted, it is empty, and the note
is void.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

MOST: Final = 256
"""Notes in one item. There are not so many servers."""

_LINE: Final = re.compile(rb"([!-~]{1,300}) ([0-9]{1,15}) ([0-9]{1,15}) ([0-9]{1,15})")


class Run(NamedTuple):
    """A server since it was started.

    :param started: seconds since 1970, by its own clock
    :param flushes: how often all of its items were deleted (``flush_all``)
    """

    started: int
    flushes: int = 0


class Note(NamedTuple):
    """Somebody has left a server out.

    :param node: its label on the ring
    :param run: the last that was known of it
    :param since: seconds since 1970
    """

    node: str
    run: Run
    since: int

    def is_about(self, run: Run | None) -> bool:
        """Whether what this run of the server holds may be out of date.

        :param run: None: nobody has heard of the server since
        """
        if run is None:
            return True
        if run.started != self.run.started:
            return run.started < self.run.started
        return run.flushes <= self.run.flushes

    def is_same(self, other: Note) -> bool:
        """Whether it tells the same, whoever wrote it first."""
        return self.node == other.node and self.run == other.run


def pack(notes: Iterable[Note]) -> bytes:
    """As they are stored, a line each.

    >>> pack([Note("10.0.0.1", Run(1_800_000_000, 0), 1_800_003_600)])
    b'10.0.0.1 1800000000 0 1800003600'
    """
    return b"\n".join(
        b"%b %d %d %d" % (note.node.encode(), note.run.started, note.run.flushes, note.since)
        for note in sorted(notes)[:MOST]
    )


def unpack(value: bytes) -> frozenset[Note]:
    """What is stored; a line that is none is not there."""
    found = set()
    for line in value.split(b"\n", MOST)[:MOST]:
        parts = _LINE.fullmatch(line)
        if parts is not None:
            node, started, flushes, since = parts.groups()
            found.add(Note(node.decode("ascii"), Run(int(started), int(flushes)), int(since)))
    return frozenset(found)


def run_from(stats: Mapping[str, str]) -> Run | None:
    """What a server's statistics say of it; None: it does not tell.

    >>> run_from({"time": "1800000100", "uptime": "100", "cmd_flush": "2"})
    Run(started=1800000000, flushes=2)
    """
    numbers = [stats.get(name, "") for name in ("time", "uptime", "cmd_flush")]
    if not all(re.fullmatch("[0-9]{1,15}", number) for number in numbers):
        return None
    now, uptime, flushes = map(int, numbers)
    return Run(now - uptime, flushes)
