"""What one process has seen of the servers, and how far it can be relied on. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, TypeVar

from sessionstore.stores.memcached.notes import IN_USE, Note, Notes, State

N = TypeVar("N")

KEPT_OUT: Final = (
    "is kept out, because it came back with what it had, which may be out of date: restart it or"
    " flush it"
)


class Sightings:
    """What this process knows of one server.

    :param new: whether it has come while this process ran
    """

    def __init__(self, now: float, *, new: bool) -> None:
        self.new = new
        self.note: Note | None = None
        self.said_kept_out = False
        self.begin(now)

    def begin(self, now: float) -> None:
        """Nobody has looked until now."""
        self.checked = -math.inf
        """When the last look at it began that has ended, well or not."""
        self.read = -math.inf
        """When the last one began that ended well."""
        self.contact = -math.inf
        """When it ended."""
        self.regained = -math.inf
        """When the first one did, after it had not been heard for long. ``lapsed``: there was a
        time in which it was not; at first, there was none."""
        self.begun, self.lapsed = now, False
        self.notes: Notes = {}
        """What is stored there."""
        self.refuses = False
        """Whether it answers, but not what it was asked."""
        self.settling = self.evident = math.inf
        """When this process read its note for the first time, and for the last."""
        self.hope(now)

    @property
    def state(self) -> State:
        """What is to be done with it."""
        return State.IN if self.note is None else self.note.state

    @property
    def is_kept_out(self) -> bool:
        """Whether it answers and is left out all the same."""
        return self.state is State.OUT and not self.misses

    @property
    def trouble(self) -> str | None:
        """Why it is not used, so far as its note says."""
        if self.is_kept_out:
            return f"it {KEPT_OUT}"
        if self.state is State.OUT:
            return "it does not answer, and is left out"
        if self.state is State.LEAVING:
            return "it does not answer, and is being left out"
        return None

    def is_heard(self, now: float, lease: float) -> bool:
        """Whether it has answered a moment ago."""
        return now - self.contact <= lease

    def is_informed(self, now: float, lease: float) -> bool:
        """Whether its notes are those that everybody writes: just after it was away, they are not
        yet."""
        informed = not self.lapsed or now - self.regained >= lease
        return informed and self.is_heard(now, lease)

    def hope(self, now: float) -> None:
        """It is missed from now on, if at all."""
        self.heard = now
        self.misses = 0
        self.lost: Note | None = None
        """What this process would write: that it misses this server."""


def doubtful(seen: Mapping[N, Sightings], now: float, lease: float) -> list[N]:
    """The servers that may have been left out unbeknown to this process."""
    if all(each.read >= now - lease and each.state is not State.OUT for each in seen.values()):
        return []  # as nearly always
    return [node for node in seen if _is_doubtful(seen, node, now, lease)]


def _is_doubtful(seen: Mapping[N, Sightings], node: N, now: float, lease: float) -> bool:
    """Whether it may have been left out unbeknown to this process: it was not heard for a
    while, and nobody else has been since then who could tell."""
    this = seen[node]
    if this.state is State.OUT:
        return False
    others = [each for other, each in seen.items() if other is not node]
    asked = [each for each in others if each.state is not State.OUT and not each.refuses]
    if not asked:
        # Then it is this server that is told, by those who know better, if there are any.
        return not this.is_informed(now, lease)
    gap = (this.regained if this.is_heard(now, lease) else now) - lease
    return not (
        all(other.read >= gap for other in asked)
        or any(other.read >= gap and other.is_informed(now, lease) for other in others)
    )


def news(before: Note | None, note: Note) -> str | None:
    """What the log says of a note; None: nothing."""
    old, new = before.state if before else State.IN, note.state
    if new > old and new is State.LEAVING:
        return "does not answer, and is being left out"
    if new > old and new is State.OUT:
        return "is left out: its share of the sessions is the next server's"
    if before and old not in IN_USE and new in IN_USE:
        return f"is taken back: {_reason(before, note)}"
    return None


def _reason(before: Note, note: Note) -> str:
    if note.run.started != before.run.started:
        return "it was restarted"
    if note.run != before.run:
        return "it was flushed"
    return "what it holds is older than any session"
