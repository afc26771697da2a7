"""Who is in and who is left out, where a lost server's share goes to the next one. No I/O.

All processes of an application must agree on that: while one of them reads a session from one
server and another has ended it on the next, a user who was logged out is not. So nobody acts alone.
Whoever misses a server leaves a *note* on the others (``notes.py``); everybody reads the notes
twice a second (``vigil.py``), and none acts on a note before all must have read it, nor when its
own reading is too old. Between the note and the act, that share of the sessions is answered with an
error.

A server that is heard again is taken back if it was restarted or flushed since, because then it is
empty. If not, what it holds may be out of date, and it stays out.
"""

from __future__ import annotations

import enum
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from sessionstore.core.errors import StoreUnavailable
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.memcached.notes import Note, Run
from sessionstore.stores.memcached.topology import Node, Topology

logger = logging.getLogger("sessionstore")

ROUND_SECONDS: Final = 0.5
"""How often each process looks at each server."""
LEASE_SECONDS: Final = 2.0
"""How old a reading of the notes may be for a process to rely on it."""
SETTLE_SECONDS: Final = 3.0
"""How long a note is left to be read before anybody acts on it: more than ``LEASE_SECONDS`` and one
round, so that who has not read it does not rely on what it read before."""
MISSES: Final = 3
"""Rounds in which a server must have been silent, beside the seconds."""


class State(enum.Enum):
    """What is done with a server."""

    IN = "in"
    LEAVING = "being left out"
    """Somebody has left it out, and not everybody may know yet."""
    OUT = "left out"
    JOINING = "being taken in"
    """It is looked at, and gets no new sessions: not everybody may look at it yet."""


class Places(NamedTuple):
    """Where a session is.

    :param look: where it may be, likeliest first
    :param make: where it would be made; the second has its copy
    :param others: where it could be if more than one server was lost when it was made
    :param now: seconds since 1970
    """

    look: tuple[Node, ...]
    make: tuple[Node, ...]
    others: tuple[Node, ...] = ()
    now: float = 0.0


class _Seen:
    """What this process knows of one server."""

    __slots__ = ("checked", "heard", "joined", "left", "misses", "notes", "run", "said_kept_out")

    def __init__(self, now: float, *, new: bool) -> None:
        self.heard = now
        self.checked = -math.inf
        """When the last look at it began that has ended, well or not."""
        self.misses = 0
        self.run: Run | None = None
        self.notes: frozenset[Note] = frozenset()
        """What is stored there."""
        self.left: float | None = None
        """When this process read that it is left out."""
        self.joined = now if new else -math.inf
        self.said_kept_out = False


class Membership:
    """The state of every server of a topology, alike in all processes.

    :param silence: seconds after which a server that is not heard is left out
    :param keep_out: seconds after which one that came back as it was is taken back all the same,
        because no session lives longer
    :param clock: as :func:`time.monotonic`
    :param wall: as :func:`time.time`
    """

    def __init__(
        self,
        topology: Topology,
        *,
        silence: float,
        keep_out: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.topology = topology
        self._silence = silence
        self._keep_out = keep_out
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._notes: dict[tuple[str, Run], Note] = {}
        self._seen: dict[Node, _Seen] = {}
        self._follow(new=False)

    def begin(self) -> None:
        """Nobody has looked until now: at first, after a fork, after a pause."""
        self._lock = threading.Lock()
        now = self._clock()
        for seen in self._seen.values():
            seen.checked, seen.heard, seen.misses = -math.inf, now, 0

    def follow(self) -> None:
        """The topology has changed."""
        with self._lock:
            self._follow(new=True)

    def _follow(self, *, new: bool) -> None:
        now, nodes = self._clock(), self.topology.nodes()
        # At the first sight of them, all have been there.
        new = new and bool(self._seen)
        self._seen = {node: self._seen.get(node) or _Seen(now, new=new) for node in nodes}

    # -- what the vigils tell --

    def told(self, node: Node, run: Run | None, notes: frozenset[Note], began: float) -> None:
        """A server has answered.

        :param run: None: it does not say when it was started
        :param notes: those that are stored on it
        :param began: when it was asked, by the clock
        """
        with self._lock:
            seen = self._seen.get(node)
            if seen is None:
                return  # it has gone meanwhile
            seen.heard = self._clock()
            seen.misses = 0
            seen.run = run or Run(0)
            seen.notes = notes
            for note in notes:
                # Of two about the same, the one that was first.
                known = self._notes.get((note.node, note.run))
                if known is None or note < known:
                    self._notes[note.node, note.run] = note
            self._looked(seen, began)

    def missed(self, node: Node, began: float) -> None:
        """A server has not answered.

        :param began: when it was asked, by the clock
        """
        with self._lock:
            seen = self._seen.get(node)
            if seen is None:
                return
            seen.misses += 1
            now = self._clock()
            if seen.misses >= MISSES and now - seen.heard >= self._silence:
                self._note(node, seen)
            self._looked(seen, began)

    def _note(self, node: Node, seen: _Seen) -> None:
        label = node.endpoint.label
        if self._note_about(node, seen) is None:
            since = int(self._wall())
            run = seen.run or Run(since)
            self._notes[label, run] = Note(label, run, since)

    def _looked(self, seen: _Seen, began: float) -> None:
        seen.checked, now = began, self._clock()
        stored = frozenset().union(*(each.notes for each in self._seen.values()))
        for node, each in self._seen.items():
            note = self._note_about(node, each)
            if note is None:
                if each.left is not None:
                    self._take_back(node, each, now)
            elif each.left is None and any(map(note.is_same, stored)):
                self._leave(node, each, now)
            elif each.left is not None and not each.misses and not each.said_kept_out:
                each.said_kept_out = True
                logger.warning(
                    "session store: %s is back as it was, and is kept out, because what it holds "
                    "may be out of date; restart it or flush it",
                    node.name,
                )

    def _leave(self, node: Node, seen: _Seen, now: float) -> None:
        seen.left = now
        logger.warning(
            "session store: %s does not answer and is left out; its share of the sessions goes to "
            "the next server in %s s",
            node.name,
            SETTLE_SECONDS,
        )

    def _take_back(self, node: Node, seen: _Seen, now: float) -> None:
        old = [note for note in self._notes.values() if note.node == node.endpoint.label]
        if any(note.is_about(seen.run) for note in old):
            why = "what it holds is older than any session"
        elif any(note.run.started == (seen.run or note.run).started for note in old):
            why = "it was flushed"
        else:
            why = "it was restarted"
        logger.warning("session store: %s is taken back: %s", node.name, why)
        seen.left, seen.joined, seen.said_kept_out = None, now, False
        for note in old:
            del self._notes[note.node, note.run]

    def _note_about(self, node: Node, seen: _Seen) -> Note | None:
        label, oldest = node.endpoint.label, self._wall() - self._keep_out
        for note in self._notes.values():
            if note.node == label and note.since >= oldest and note.is_about(seen.run):
                return note
        return None

    def wanted_on(self, node: Node) -> frozenset[Note] | None:
        """The notes to store on a server instead of those that are there; None: they are right."""
        with self._lock:
            this = self._seen.get(node)
            if this is None:
                return None
            about = [self._note_about(other, seen) for other, seen in self._seen.items()]
            notes = {note for note in about if note and note.node != node.endpoint.label}
            ours = {other.endpoint.label for other in self._seen}
            # What is about servers that another configuration knows is not ours to remove.
            notes |= {note for note in this.notes if note.node not in ours}
            right = len(notes) == len(this.notes) and all(
                any(map(note.is_same, this.notes)) for note in notes
            )
            return None if right else frozenset(notes)

    # -- what requests ask --

    def state(self, node: Node) -> State:
        """As of now."""
        seen, now = self._seen.get(node), self._clock()
        if seen is None:
            return State.OUT  # the topology has changed
        if seen.left is not None:
            return State.OUT if now - seen.left >= SETTLE_SECONDS else State.LEAVING
        return State.JOINING if now - seen.joined < SETTLE_SECONDS else State.IN

    def is_current(self) -> bool:
        """Whether all servers were looked at a moment ago."""
        oldest = self._clock() - LEASE_SECONDS
        return bool(self._seen) and all(seen.checked >= oldest for seen in self._seen.values())

    def places(self, key: bytes) -> Places:
        """Where the session of this key is, or would be.

        :raises Failure: it may be on a server that is being left out; or all are
        """
        look: list[Node] = []
        make: list[Node] = []
        others: list[Node] = []
        for node in self.topology.walk(key):
            state = self.state(node)
            if state is State.OUT:
                continue
            if len(make) == 2:
                others.append(node)
            elif state is State.LEAVING:
                text = "it does not answer, and is being left out"
                raise Failure(StoreUnavailable(text, node=node.name), retry=False)
            else:
                look.append(node)
                if state is State.IN:
                    make.append(node)
        if not look:
            raise unavailable("all servers are left out", self.topology.name, silent=False)
        return Places(tuple(look), tuple(make or look), tuple(others), self._wall())

    def check(self, node: Node) -> None:
        """Before something is said to a server that was chosen a while ago.

        :raises Failure: what it holds does not count any more
        """
        if self.state(node) not in {State.IN, State.JOINING}:
            raise unavailable("it is left out", node.name, silent=False)
