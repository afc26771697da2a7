"""More logins than a server can serve: deadlines, retries and circuit breakers, as the store has
them, before a single thread that serves in order.

Simulated are the store's own :class:`Attempts` and :class:`Breaker`. To be quick, one command
stands for many and a server takes as much longer for it, with as many fewer processes: waiting of
the order of a deadline is a matter of many commands, so that it comes out the same.

What is assumed: a server does the work of commands that nobody waits for any more; each of a
login's commands is sent on its own; who gets an error does not try again by himself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from sessionstore.core.errors import StoreError
from sessionstore.stores.attempts import ATTEMPT_SHARE, Attempts, unavailable
from sessionstore.stores.base import DEFAULT_TIMEOUT
from sessionstore.stores.health import Breaker

SERVED: Final = 1000
"""Commands a second that the simulated server can serve, whatever the real one can."""
BEFORE: Final = 1.0
DURING: Final = 5.0
MOST_AFTER: Final = 5.0
"""Seconds: of usual load, of the storm, and of usual load again."""
NODE: Final = "node"


@dataclass
class Outcome:
    """What became of the commands.

    :param served: within their deadline
    :param refused: errors by a breaker, at once
    :param late: errors by a deadline
    :param opened: seconds from the storm's begin to when the first breaker opened; None: none did
    :param failed_at: when each error came, in seconds from the storm's end
    :param came: commands that came during the storm
    :param failed: those of them that failed
    """

    served: int = 0
    refused: int = 0
    late: int = 0
    opened: float | None = None
    failed_at: list[float] = field(default_factory=list)
    came: int = 0
    failed: int = 0

    @property
    def failed_in_storm(self) -> float:
        """Of the commands that came during it, those that failed."""
        return self.failed / max(1, self.came)

    @property
    def recovery(self) -> float:
        """Seconds from the storm's end to the last error."""
        return max(0.0, max(self.failed_at, default=0.0))


@dataclass
class _Command:
    process: int
    attempts: Attempts
    in_storm: bool


class Storm:
    """One server of a store, and the processes that ask it.

    :param usual: its utilisation before and after
    :param peak: what is asked of it during the storm, in what it can serve
    :param processes: how many there are for this server's rate of SERVED commands a second
    :param writes: their share of the commands, which are not sent again once a reply is lost
    """

    def __init__(
        self,
        rng: random.Random,
        usual: float,
        peak: float,
        processes: int,
        writes: float,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._rng = rng
        self._usual, self._peak = usual, peak
        self._writes = writes
        self._timeout = timeout
        self._breakers = [Breaker(timeout) for _ in range(processes)]
        self._free = 0.0
        self._events: list[tuple[float, int, str, _Command]] = []
        self._number = 0
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """The whole of it."""
        for when in self._arrivals():
            self._until(when)
            self._arrive(when)
        self._until(float("inf"))
        return self.outcome

    def _arrivals(self) -> Iterator[float]:
        now, end = 0.0, BEFORE + DURING + MOST_AFTER
        while now < end:
            stormy = BEFORE <= now < BEFORE + DURING
            now += self._rng.expovariate(SERVED * (self._peak if stormy else self._usual))
            yield now

    def _until(self, when: float) -> None:
        while self._events and self._events[0][0] <= when:
            now, _, what, command = heappop(self._events)
            if what == "reply":
                self._breakers[command.process].succeeded()
                self.outcome.served += 1
            elif what == "overdue":
                self._overdue(now, command)
            else:
                self._attempt(now, command)

    def _later(self, when: float, what: str, command: _Command) -> None:
        self._number += 1
        heappush(self._events, (when, self._number, what, command))

    def _arrive(self, now: float) -> None:
        deadline, limit = now + self._timeout, self._timeout * ATTEMPT_SHARE
        write = self._rng.random() < self._writes
        attempts = Attempts(deadline, limit, write=write, node=NODE)
        process = self._rng.randrange(len(self._breakers))
        in_storm = BEFORE <= now < BEFORE + DURING
        self.outcome.came += in_storm
        self._attempt(now, _Command(process, attempts, in_storm))

    def _attempt(self, now: float, command: _Command) -> None:
        try:
            until = command.attempts.start(now)
        except StoreError:
            self._fail(now, command, late=True)
            return
        if not self._breakers[command.process].admits(now):
            self._fail(now, command, late=False)
            return
        self._free = max(self._free, now) + 1 / SERVED
        if self._free <= until:
            self._later(self._free, "reply", command)
        else:
            self._later(until, "overdue", command)

    def _overdue(self, now: float, command: _Command) -> None:
        breaker = self._breakers[command.process]
        failure = unavailable("no reply in time", NODE, lost=True)
        was_open = breaker.is_open
        breaker.failed(now, failure.error)
        if breaker.is_open and not was_open and self.outcome.opened is None:
            self.outcome.opened = now - BEFORE
        try:
            pause = command.attempts.failed(failure, now, self._rng.random())
        except StoreError:
            self._fail(now, command, late=True)
            return
        self._later(now + pause, "again", command)

    def _fail(self, now: float, command: _Command, *, late: bool) -> None:
        self.outcome.failed += command.in_storm
        if late:
            self.outcome.late += 1
        else:
            self.outcome.refused += 1
        self.outcome.failed_at.append(now - BEFORE - DURING)


def simulate(seed: int, usual: float, peak: float, processes: int, writes: float) -> Outcome:
    """One storm, with the store's default ``timeout``."""
    rng = random.Random(f"storm {seed} {usual} {peak}")
    return Storm(rng, usual, peak, processes, writes).run()
