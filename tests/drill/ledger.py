"""What each user was told, and what follows for what they may see: no I/O, no clock, no chance.

An answer of 2xx is a promise. A 401 or 409 says that the request changed nothing. Anything else (a
503, silence) leaves the outcome unknown: it may have happened, or still happen until a later write
of the same session is acknowledged. Both kinds of seeing are allowed then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

FIELD: Final = 100_000
"""A value is a number that rises, times this, plus the user's: it says whose it is."""


class Outcome(Enum):
    """What an answer says of its request."""

    DONE = 0
    REFUSED = 1
    UNKNOWN = 2


@dataclass(frozen=True)
class Seen:
    """What an answer shows of the session that its request found; None: nothing."""

    user: str | None = None
    value: int | None = None


@dataclass
class Tally:
    """What was broken, over all users.

    :param lost_logins: sessions whose login was acknowledged, and in which nobody is logged in
    :param lost_writes: acknowledged values that are gone, with no later one in their place
    :param zombies: sessions that were ended, or tokens that a login had replaced, and that
        show a user again; each counts once
    :param cross_user: answers that show somebody else's name or value
    :param went_back: values that were seen and then not any more, though never acknowledged
    """

    lost_logins: int = 0
    lost_writes: int = 0
    zombies: int = 0
    cross_user: int = 0
    went_back: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Everything that was acknowledged and is not so: a zombie is a logout that was lost."""
        return self.lost_logins + self.lost_writes + self.zombies

    def find(self, what: str) -> None:
        """Keep the story of it, for the first hundred."""
        if len(self.findings) < 100:
            self.findings.append(what)


@dataclass
class Ghost:
    """A cookie that must not show anybody any more.

    :param ended: its session was logged out of; otherwise a login has replaced the token
    """

    cookie: str
    ended: bool
    seen: bool = False


class User:
    """One simulated user, whose requests do not overlap."""

    def __init__(self, number: int, tally: Tally) -> None:
        self.number = number
        self.tally = tally
        self.cookie: str | None = None
        self.logged_in = False
        self.ghosts: list[Ghost] = []
        self._logins = 0
        self._writes = 0
        self._acked: list[int] = []
        self._perhaps: list[int] = []
        self._highest = 0

    @property
    def name(self) -> str:
        """As whom the user logged in last: another name each time."""
        return f"u{self.number}.{self._logins}"

    def next_value(self) -> int:
        """What to write: more than ever before."""
        self._writes += 1
        return self._writes * FIELD + self.number

    @property
    def _handle(self) -> str:
        """The session's name, which is no secret."""
        return self.cookie[:16] if self.cookie else "none"

    # -- what was asked and answered --

    def visited(self, outcome: Outcome, cookie: str | None) -> None:
        """A write without a login, which begins a session."""
        self.cookie = cookie if outcome is Outcome.DONE else None

    def begin_login(self) -> str:
        """The name to log in as."""
        self._logins += 1
        return self.name

    def log_in(self, value: int, outcome: Outcome, seen: Seen, cookie: str | None) -> None:
        """Answered: the session is this user's from now on, under a new token."""
        self._is_mine(seen)
        before, self.cookie = self.cookie, None
        if outcome is not Outcome.DONE or cookie is None:
            if outcome is Outcome.DONE:
                self.tally.find(f"{self.name}: a login was answered without a cookie")
                self.tally.lost_logins += 1
            return  # whatever has become of it, nobody has its token
        if before is not None:
            self.ghosts.append(Ghost(before, ended=False))
        self.cookie, self.logged_in = cookie, True
        self._acked, self._perhaps, self._highest = [value], [], value

    def read(self, outcome: Outcome, seen: Seen) -> None:
        """Answered."""
        if outcome is Outcome.DONE:
            self._judge(seen)

    def write(self, value: int, outcome: Outcome, seen: Seen | None) -> None:
        """Answered. ``seen`` is None where the answer shows nothing of the session."""
        if seen is not None:
            self._judge(seen)
        if not self.logged_in:
            return
        if outcome is Outcome.DONE:
            self._acked.append(value)
            self._perhaps.clear()  # none of them can happen any more: it is compare-and-set
            self._highest = value
        elif outcome is Outcome.UNKNOWN:
            self._perhaps.append(value)

    def keep(self, cookie: str | None) -> None:
        """A read or a write set this cookie; None: none. "" deletes it, which is a logout."""
        if cookie:
            self.cookie = cookie
        elif cookie is not None and self.logged_in:
            self.tally.lost_logins += 1
            self.tally.find(f"{self.name} is told to forget its cookie, handle {self._handle}")
            self._forget()

    def log_out(self, outcome: Outcome, seen: Seen | None) -> None:
        """Answered."""
        if seen is not None:
            self._judge(seen)
        if outcome is Outcome.DONE and self.logged_in and self.cookie is not None:
            self.ghosts.append(Ghost(self.cookie, ended=True))
        self._forget()

    def haunt(self, ghost: Ghost, seen: Seen) -> None:
        """An old cookie was presented, and this is what it showed."""
        self._is_mine(seen)
        if seen.user is None and (seen.value is None or not ghost.ended):
            return
        if not ghost.seen:
            ghost.seen = True
            self.tally.zombies += 1
            why = "after its logout" if ghost.ended else "by a token from before the login"
            self.tally.find(f"{self.name}: {seen} {why}, handle {ghost.cookie[:16]}")

    # -- what it means --

    def _judge(self, seen: Seen) -> None:
        if not self._is_mine(seen) or not self.logged_in:
            return
        if seen.user is None:
            self.tally.lost_logins += 1
            self._tell("is logged out without having asked for it", seen)
            self._forget()
            return
        if seen.user != self.name:
            self.tally.zombies += 1
            self._tell("is somebody that it was before", seen)
            return
        self._judge_value(seen)

    def _judge_value(self, seen: Seen) -> None:
        value = seen.value or 0
        allowed = [self._acked[-1], *self._perhaps]
        if value in allowed:
            if value < self._highest:
                self.tally.went_back += 1
            self._highest = max(value, self._highest)
            return
        gone = [acked for acked in self._acked if acked > value]
        self.tally.lost_writes += max(len(gone), 1)
        self._tell(f"has lost {gone}", seen)
        # From here on, so that it is counted once.
        self._acked = [*(acked for acked in self._acked if acked < value), value]
        self._perhaps.clear()
        self._highest = value

    def _is_mine(self, seen: Seen) -> bool:
        # Two names, where the session's subject is not who its attributes say.
        names = seen.user.split(" as ") if seen.user else []
        mine = all(name.partition(".")[0] == f"u{self.number}" for name in names) and (
            seen.value is None or seen.value % FIELD == self.number
        )
        if not mine:
            self.tally.cross_user += 1
            self._tell("sees somebody else", seen)
        return mine

    def _forget(self) -> None:
        self.cookie, self.logged_in = None, False

    def _tell(self, what: str, seen: Seen) -> None:
        told = f"acknowledged {self._acked[-3:]}, unknown {self._perhaps[-3:]}"
        self.tally.find(f"{self.name} {what}: {seen}, {told}, handle {self._handle}")
