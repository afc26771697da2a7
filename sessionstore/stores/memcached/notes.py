"""What an application's processes tell each other of its servers: notes that they keep on all of
them. No I/O.

There is one note for each server, and of two notes about the same one the greater counts, wherever
it was read. So it does not matter in which order they are read, who writes one that is out of date,
or which of the servers that hold them are lost: all come to the same.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

MOST: Final = 256
"""Notes in one item. There are not so many servers."""

_LINE: Final = re.compile(
    rb"([!-~]{1,1000}) ([0-9]{1,15}) ([0-9]{1,15}) ([0-9]{1,9}) ([0-3]) ([0-9]{1,15})"
)


class State(enum.IntEnum):
    """What is done with a server, in the order in which it comes to that."""

    JOINING = 0
    """It is looked at, and gets no new sessions: not everybody may look at it yet."""
    IN = 1
    LEAVING = 2
    """Somebody misses it, and not everybody may know yet: it is not used."""
    OUT = 3
    """Everybody knows, and the next server has its share."""


IN_USE: Final = frozenset((State.JOINING, State.IN))


class Run(NamedTuple):
    """A server's content since it was last empty.

    :param started: seconds since 1970, by its own clock
    :param flushes: how often all of its items were deleted since (``flush_all``)
    """

    started: int
    flushes: int = 0


class Note(NamedTuple):
    """What is done with a server. Notes are compared field by field.

    :param run: that this is about: it counts for nothing once the server is known to be empty
    :param term: how often it was taken back during this run, because all that it held was old
    :param since: when it was left out, in seconds since 1970; else 0
    """

    run: Run
    term: int = 0
    state: State = State.IN
    since: int = 0

    def is_about(self, other: Note | None) -> bool:
        """Whether both tell the same, whoever wrote it first."""
        return other is not None and self[:3] == other[:3]


Notes = Mapping[str, Note]
"""By the server's label on the ring."""


def pack(notes: Notes) -> bytes:
    """As they are stored, a line each.

    >>> pack({"10.0.0.1": Note(Run(1_800_000_000, 0), 0, State.OUT, 1_800_003_600)})
    b'10.0.0.1 1800000000 0 0 3 1800003600'
    """
    return b"\n".join(
        b"%b %d %d %d %d %d" % (quote(label, safe=":").encode(), *run, term, state, since)
        for label, (run, term, state, since) in sorted(notes.items())[:MOST]
    )


def unpack(value: bytes) -> Notes:
    """What is stored; a line that is none is not there."""
    found: dict[str, Note] = {}
    for line in value.split(b"\n", MOST)[:MOST]:
        parts = _LINE.fullmatch(line)
        if parts is not None:
            label = unquote(parts[1].decode("ascii"))
            started, flushes, term, state, since = map(int, parts.groups()[1:])
            note = Note(Run(started, flushes), term, State(state), since)
            found[label] = max(note, found.get(label, note))
    return found


def run_from(stats: Mapping[str, str]) -> Run | None:
    """What a server's statistics say of it; None: it does not tell.

    >>> run_from({"time": "1800000100", "uptime": "100", "cmd_flush": "2"})
    Run(started=1800000000, flushes=2)
    """
    numbers = [stats.get(name, "") for name in ("time", "uptime", "cmd_flush")]
    if not all(re.fullmatch("[0-9]{1,15}", number) for number in numbers):
        return None
    now, uptime, flushes = map(int, numbers)
    # Before 1970 no server was started, and a note that says so could not be read.
    return Run(now - uptime, flushes) if now >= uptime else None
