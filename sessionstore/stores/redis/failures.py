"""From what went wrong to the typed error, and whether an attempt may be repeated.

Nothing here does I/O or reads a clock: the time and the random draw are passed in. No message
quotes the server, because Redis quotes commands in some of its errors, session and all.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sessionstore.core.errors import (
    DeadlineExceeded,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)

ATTEMPT_SHARE: Final = 0.4
"""Of the store's timeout: what one attempt may take, so that a hung server leaves time for
another attempt on a fresh connection."""

BACKOFF_BASE: Final = 0.008
BACKOFF_CAP: Final = 0.1
"""Seconds. Full jitter: a draw from 0 to ``min(cap, base * 2**n)``, as Brooker's "Exponential
Backoff And Jitter" (AWS Architecture Blog, 2015) found best."""


class ScriptMissing(StoreRefused):
    """NOSCRIPT: the flow answers it with EVAL."""


class ReplyError(Exception):
    """An error reply as the parser gives it. Never raised out of a transport, never chained."""


class Failure(Exception):
    """How one attempt ended.

    :param error: what the caller gets if it is the last one
    :param lost: the request went out and no reply came
    :param retry: whether another attempt can help
    :param broken: whether the connection must not be used again
    """

    def __init__(
        self, error: StoreError, *, lost: bool = False, retry: bool = True, broken: bool = True
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.lost = lost
        self.retry = retry
        self.broken = broken


class _Meaning(NamedTuple):
    kind: type[StoreError]
    text: str
    retry: bool = False
    broken: bool = False


_MEANINGS: Final = {
    "WRONGPASS": _Meaning(StoreRefused, "user name or password refused (WRONGPASS)", broken=True),
    "NOAUTH": _Meaning(StoreRefused, "the server wants a password (NOAUTH)", broken=True),
    "NOPERM": _Meaning(StoreRefused, "the user lacks a permission (NOPERM)"),
    "DENIED": _Meaning(StoreRefused, "the server is in protected mode (DENIED)", broken=True),
    "NOSCRIPT": _Meaning(ScriptMissing, "the script is not loaded (NOSCRIPT)"),
    "MOVED": _Meaning(StoreRefused, "the server is part of a Redis Cluster (MOVED)"),
    "ASK": _Meaning(StoreRefused, "the server is part of a Redis Cluster (ASK)"),
    "WRONGTYPE": _Meaning(StoreRefused, "the key holds something else than a session (WRONGTYPE)"),
    "LOADING": _Meaning(StoreUnavailable, "the server is loading its data (LOADING)", retry=True),
    "BUSY": _Meaning(StoreUnavailable, "the server is running a script (BUSY)", retry=True),
    "CLUSTERDOWN": _Meaning(StoreUnavailable, "the cluster is down (CLUSTERDOWN)", retry=True),
    "TRYAGAIN": _Meaning(StoreUnavailable, "a slot is being moved (TRYAGAIN)", retry=True),
    "MASTERDOWN": _Meaning(
        StoreUnavailable, "the replica has lost its primary (MASTERDOWN)", retry=True
    ),
    # A demoted primary: the address may lead to the new one by now, so connect anew.
    "READONLY": _Meaning(
        StoreUnavailable, "the server is a replica (READONLY)", retry=True, broken=True
    ),
    "OOM": _Meaning(StoreFull, "the server is out of memory (OOM)"),
    "MISCONF": _Meaning(StoreFull, "the server cannot save to disk (MISCONF)"),
    "NOREPLICAS": _Meaning(StoreFull, "too few replicas (NOREPLICAS)"),
}
_TOO_MANY: Final = _Meaning(
    StoreUnavailable, "the server has no free connection (maxclients)", retry=True, broken=True
)
# Before Redis 7, an error inside a script comes wrapped: "ERR Error running script (call to
# f_<sha>): @user_script:5: -OOM command not allowed ...".
_WRAPPED: Final = re.compile(r"ERR Error running script.*: ?-?([A-Z]{2,32}) ")
_CODE: Final = re.compile(r"[A-Z]{2,32}\b")


def from_reply(reply: ReplyError, node: str) -> Failure:
    """What an error reply means. The command was not executed."""
    text = str(reply)
    found = _WRAPPED.match(text)
    code = found[1] if found else (_CODE.match(text) or [""])[0]
    if code == "ERR" and "max number of clients" in text:
        meaning = _TOO_MANY
    elif code in _MEANINGS:
        meaning = _MEANINGS[code]
    else:
        meaning = _Meaning(StoreRefused, f"the server answered with an error ({code or 'no code'})")
    return Failure(
        meaning.kind(meaning.text, node=node), retry=meaning.retry, broken=meaning.broken
    )


def unavailable(text: str, node: str, *, lost: bool = False) -> Failure:
    """The connection, or the time, is gone."""
    return Failure(StoreUnavailable(text, node=node), lost=lost)


def refused(text: str, node: str, *, lost: bool = False) -> Failure:
    """What trying again cannot help, and nothing may be read from this connection any more."""
    return Failure(StoreRefused(text, node=node), lost=lost, retry=False)


class Attempts:
    """The attempts of one command: how long each may take, and which error is the last.

    :param deadline: on the clock of :func:`time.monotonic`
    :param timeout: the store's, in seconds
    :param write: the command must not be repeated once it may have been executed
    """

    __slots__ = ("_count", "_deadline", "_limit", "_node", "_write")

    def __init__(self, deadline: float, timeout: float, *, write: bool, node: str) -> None:
        self._deadline = deadline
        self._limit = timeout * ATTEMPT_SHARE
        self._write = write
        self._node = node
        self._count = 0

    def start(self, now: float) -> float:
        """Begin an attempt; returns until when it may take.

        :raises DeadlineExceeded: there is no time left at all
        """
        if now >= self._deadline:
            raise DeadlineExceeded("the deadline passed before it could be sent", node=self._node)
        return min(self._deadline, now + self._limit)

    def failed(self, failure: Failure, now: float, draw: float) -> float:
        """How many seconds to wait before the next attempt.

        :param draw: a random number from 0 to 1
        :raises StoreError: there must be no next one, or there is no time for it
        """
        if failure.lost and self._write:
            unknown = OutcomeUnknown(f"a write was sent and its reply lost: {failure.error}")
            unknown.node = failure.error.node
            raise unknown from failure.__cause__
        if not failure.retry:
            raise failure.error from failure.__cause__
        pause: float = draw * min(BACKOFF_CAP, BACKOFF_BASE * 2**self._count)
        self._count = min(self._count + 1, 10)
        if now + pause >= self._deadline:
            raise failure.error from failure.__cause__
        return pause
