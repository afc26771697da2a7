"""How one attempt at a command ends, and whether there is another: alike for every store.

Nothing here does I/O or reads a clock: the time and the random draw are passed in.
"""

from __future__ import annotations

from copy import copy
from typing import Any, Final

from sessionstore.core.errors import (
    DeadlineExceeded,
    OutcomeUnknown,
    StoreError,
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


class Failure(Exception):
    """How one attempt ended.

    :param error: what the caller gets if it is the last one
    :param lost: the request went out and no reply came
    :param retry: whether another attempt can help
    :param broken: whether the connection must not be used again
    :param login: whether another password could help
    :param demoted: whether the server is not the primary any more
    :param received: of several replies those that came in time, where only time was wanting
    :param silent: whether it is the server that could not be reached, or did not answer
    """

    def __init__(
        self,
        error: StoreError,
        *,
        lost: bool = False,
        retry: bool = True,
        broken: bool = True,
        login: bool = False,
        demoted: bool = False,
        received: tuple[Any, ...] = (),
        silent: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.lost = lost
        self.retry = retry
        self.broken = broken
        self.login = login
        self.demoted = demoted
        self.received = received
        self.silent = silent

    def again(self, *, lost: bool) -> Failure:
        """The same for another of those whom it meets; what was not lost may be tried again."""
        failure = Failure(
            copy(self.error),
            lost=lost,
            retry=self.retry or (self.lost and not lost),
            login=self.login,
            demoted=self.demoted,
            silent=self.silent,
        )
        failure.__cause__ = self.__cause__
        return failure


def unavailable(text: str, node: str, *, lost: bool = False, silent: bool = True) -> Failure:
    """The connection, or the time, is gone.

    :param silent: False: for a reason that says nothing of the server
    """
    return Failure(StoreUnavailable(text, node=node), lost=lost, silent=silent)


def refused(text: str, node: str, *, lost: bool = False) -> Failure:
    """What trying again cannot help, and nothing may be read from this connection any more."""
    return Failure(StoreRefused(text, node=node), lost=lost, retry=False)


class Attempts:
    """The attempts of one command: how long each may take, and which error is the last.

    :param deadline: on the clock of :func:`time.monotonic`
    :param limit: seconds that one attempt may take
    :param write: the command must not be repeated once it may have been executed
    """

    __slots__ = ("_count", "_deadline", "_last", "_limit", "_mended", "_node", "_write")

    def __init__(self, deadline: float, limit: float, *, write: bool, node: str) -> None:
        self._deadline = deadline
        self._limit = limit
        self._write = write
        self._node = node
        self._count = 0
        self._mended = False
        self._last: Failure | None = None

    def start(self, now: float) -> float:
        """Begin an attempt; returns until when it may take.

        :raises DeadlineExceeded: there is no time left at all
        :raises StoreError: the pause took what was left; the error of the attempt before it
        """
        # Another attempt with hardly any time would end in a time-out, which tells nothing.
        if self._last is not None and now + self._limit / 10 >= self._deadline:
            raise self._last.error from self._last.__cause__
        if now >= self._deadline:
            raise DeadlineExceeded("the deadline passed before it could be sent", node=self._node)
        return min(self._deadline, now + self._limit)

    def once(self, failure: Failure) -> None:
        """What the caller puts right by itself and then tries again: the first time only."""
        if self._mended:
            raise failure.error from failure.__cause__
        self._mended = True

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
        self._last = failure
        return pause
