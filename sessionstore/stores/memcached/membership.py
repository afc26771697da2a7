"""Who is in and who is left out, where a lost server's share goes to the next one. No I/O.

All processes of an application must agree on that: while one of them reads a session from one
server and another has ended it on the next, a user who was logged out is not. So nobody acts alone.
Whoever misses a server leaves a *note* on the others (``notes.py``); everybody reads all notes
twice a second (``vigil.py``), and none acts on a note before all must have read it, nor when its
own reading is too old. Between the note and the act, that share of the sessions is answered with an
error.

A server that is heard again is taken back if it was restarted or flushed since, because then it is
empty. If not, what it holds may be out of date, and it stays out.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sessionstore.core.errors import StoreUnavailable
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.memcached.notes import IN_USE, MOST, Note, Notes, Run, State
from sessionstore.stores.memcached.places import Places, places_in
from sessionstore.stores.memcached.sightings import KEPT_OUT, Sightings, doubtful, news
from sessionstore.stores.memcached.topology import Node, Topology

logger = logging.getLogger("sessionstore")


class Pace(NamedTuple):
    """Seconds.

    :param pause: between two looks at a server
    :param look: the longest that one may take
    :param lease: how old a reading of the notes may be for a process to rely on it
    :param settle: how long a note must have been there before anybody acts on it: more than
        ``lease``, so that who has not read it does not rely on what it read before
    """

    pause: float = 0.5
    look: float = 0.5
    lease: float = 2.0
    settle: float = 3.0


PACE: Final = Pace()
MISSES: Final = 3
"""Looks to which a server must have been silent, beside the seconds."""
HEAD_START: Final = 3
"""Seconds by which a server's statistics may claim an earlier start than it had: memcached 1.6 says
two too many."""


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
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.topology = topology
        self.pace = PACE if pace is None else pace
        self._silence = silence
        self._keep_out = keep_out
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._seen: dict[Node, Sightings] = {}
        # What requests see. Each is replaced as a whole, and the lease last.
        self._states: Mapping[Node, State] = {}
        self._places: dict[Sequence[Node], Places] = {}
        """By the order in which a key's servers come."""
        self._until = -math.inf
        self._follow()

    def begin(self) -> None:
        """Nobody has looked until now: at first, or after a pause."""
        with self._lock:
            self._begin()

    def after_fork(self) -> None:
        """The same, in the child."""
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._until = -math.inf
        for seen in self._seen.values():
            seen.begin(self._clock())

    def follow(self) -> None:
        """The topology has changed."""
        with self._lock:
            self._follow()

    def _follow(self) -> None:
        # At the first sight of them, all have been there.
        before, now = self._seen, self._clock()
        self._seen = {
            node: before.get(node) or Sightings(now, new=bool(before))
            for node in self.topology.nodes()
        }
        self._publish()

    # -- what the vigils tell --

    def told(self, node: Node, run: Run | None, notes: Notes, began: float) -> None:
        """A server has answered.

        :param run: None: it does not say when it was started
        :param notes: those that are stored on it
        :param began: when it was asked, by the clock
        """
        with self._lock:
            seen = self._seen.get(node)
            if seen is None:
                return  # it has gone meanwhile
            now = self._clock()
            if now - max(each.heard for each in self._seen.values()) > self.pace.lease:
                # That nobody was heard for so long was this process's own trouble.
                for each in self._seen.values():
                    each.hope(now)
            if not seen.is_heard(now, self.pace.lease):
                seen.lapsed = now - max(seen.contact, seen.begun) > self.pace.lease
                seen.regained = now
            seen.read, seen.contact, seen.notes = began, now, notes
            seen.refuses = False
            seen.hope(now)
            self._learn(notes, now)
            self._hear(node, seen, run or Run(0), now)
            self._settle(node, notes, now)
            self._looked(seen, began)

    def missed(self, node: Node, began: float, *, silent: bool = True) -> None:
        """A look at a server has failed.

        :param began: when it was asked, by the clock
        :param silent: whether it did not answer at all
        """
        with self._lock:
            seen = self._seen.get(node)
            if seen is None:
                return
            now = self._clock()
            if silent:
                seen.misses += 1
                self._miss(seen, now)
            else:
                seen.hope(now)
            seen.refuses = not silent
            self._looked(seen, began)

    def _miss(self, seen: Sightings, now: float) -> None:
        if seen.misses < MISSES or now - seen.heard < self._silence or seen.lost is not None:
            return
        # Without another one there is nobody to go on with, nor to tell.
        others = (other for other in self._seen.values() if other is not seen)
        if not any(other.state in IN_USE and not other.misses for other in others):
            return
        since = int(self._wall())
        note = seen.note or Note(Run(since - HEAD_START))
        if note.state in IN_USE:
            seen.lost = note._replace(state=State.LEAVING, since=since)

    def _learn(self, notes: Notes, now: float) -> None:
        for node, seen in self._seen.items():
            note = notes.get(node.endpoint.label)
            if note is not None and (seen.note is None or note > seen.note):
                self._note(node, seen, note, now)

    def _hear(self, node: Node, seen: Sightings, run: Run, now: float) -> None:
        note = seen.note
        if note is None:
            # Not before the others have told what they know of it.
            others = (other for other in self._seen.values() if other is not seen)
            if all(other.checked > -math.inf for other in others):
                self._note(node, seen, Note(run, 0, State.JOINING if seen.new else State.IN), now)
        elif run > note.run:
            # Even if it was in: others may have left it out meanwhile, and it had come back.
            self._note(node, seen, Note(run, 0, State.JOINING), now)
        elif note.state is State.OUT:
            if self._wall() - note.since >= self._keep_out:
                self._note(node, seen, Note(note.run, note.term + 1, State.JOINING), now)
            elif not seen.said_kept_out:
                seen.said_kept_out = True
                logger.warning("session store: %s %s", node.name, KEPT_OUT)

    def _settle(self, holder: Node, notes: Notes, now: float) -> None:
        """Act on what is known to be stored for long enough."""
        for node, seen in self._seen.items():
            note = seen.note
            if note is None or not note.is_about(notes.get(node.endpoint.label)):
                continue
            if note.state is State.LEAVING and node is holder:
                continue  # who misses it does not read it there
            if seen.settling > now or now - seen.evident > self.pace.lease:
                seen.settling = now
            seen.evident = now
            if now - seen.settling < self.pace.settle:
                continue
            if note.state is State.LEAVING:
                self._note(node, seen, note._replace(state=State.OUT), now)
            elif note.state is State.JOINING:
                self._note(node, seen, note._replace(state=State.IN), now)

    def _note(self, node: Node, seen: Sightings, note: Note, now: float) -> None:
        before, seen.note, seen.settling = seen.note, note, math.inf
        if before is None or (note.run, note.term) != (before.run, before.term):
            # It is another server, as it were.
            seen.said_kept_out = False
            seen.hope(now)
        elif seen.lost is not None and note >= seen.lost:
            seen.lost = None
        text = news(before, note)
        if text is not None:
            logger.warning("session store: %s %s", node.name, text)

    def _looked(self, seen: Sightings, began: float) -> None:
        seen.checked = began
        self._publish()

    def _publish(self) -> None:
        """Have requests see it."""
        states = {node: seen.state for node, seen in self._seen.items()}
        for node in doubtful(self._seen, self._clock(), self.pace.lease):
            states[node] = State.LEAVING
        if states != self._states:
            self._states = states
            self._places = {}
        looks = self._seen.values()
        oldest = min((seen.checked for seen in looks), default=-math.inf)
        newest = max((seen.read for seen in looks), default=-math.inf)
        self._until = min(oldest, newest) + self.pace.lease

    def wanted_on(self, node: Node) -> Notes | None:
        """The notes to store on a server instead of those that are there; None: they are right."""
        with self._lock:
            this = self._seen.get(node)
            if this is None:
                return None
            # What is about servers that another configuration knows is not ours to remove.
            wanted = dict(this.notes) if len(this.notes) < MOST else {}
            for other, seen in self._seen.items():
                label = other.endpoint.label
                notes = [note for note in (seen.note, seen.lost, wanted.get(label)) if note]
                if notes:
                    wanted[label] = max(notes)
            return None if wanted == this.notes else wanted

    # -- what requests ask --

    def is_current(self) -> bool:
        """Whether all servers were looked at a moment ago, and one of them answered."""
        return self._clock() <= self._until

    def state(self, node: Node) -> State:
        """As of the last look."""
        return self._states.get(node, State.OUT)  # unknown: the topology has changed

    def is_kept_out(self, node: Node) -> bool:
        """See :attr:`.sightings.Sightings.is_kept_out`."""
        seen = self._seen.get(node)
        return seen is not None and seen.is_kept_out

    def trouble(self, node: Node) -> str | None:
        """Why a server is not used; None: it is."""
        seen = self._seen.get(node)
        if seen is None:
            return "it is not one of the servers any more"
        if seen.trouble is None and self.state(node) is State.LEAVING:
            return "nobody can be asked whether it was left out"
        return seen.trouble

    def places(self, key: bytes) -> Places:
        """Where the session of this key is, or would be.

        :raises Failure: all servers are left out
        """
        known, order = self._places, self.topology.walk(key)
        places = known.get(order)
        if places is None:
            places = known[order] = places_in(order, self._states)
        if not places.look:
            raise unavailable("all servers are left out", self.topology.name, silent=False)
        return places._replace(now=self._wall())

    def check(self, node: Node) -> None:
        """Before something is said to a server that was chosen a while ago.

        :raises Failure: what it holds does not count any more
        """
        if self.state(node) not in IN_USE:
            raise self._unusable(node)

    def _unusable(self, node: Node) -> Failure:
        # Not tried again: that takes seconds.
        text = self.trouble(node) or "it was left out"
        return Failure(StoreUnavailable(text, node=node.name), retry=False)
