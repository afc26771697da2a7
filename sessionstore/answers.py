"""What a client is told when a session operation fails: the same from each adapter.

The texts are opaque: which server, which command and which reason are for the log.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sessionstore.core.errors import SessionError, SessionGone, StoreError

RETRY_AFTER: Final = 5
"""Seconds. A failover takes a few; a client that retries sooner only adds load."""


class Answer(NamedTuple):
    """An HTTP answer: plain text, never cached, and the session's cookie is left alone."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...]


_COMMON: Final = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))

UNAVAILABLE: Final = Answer(
    503,
    "The session store is not available. Please try again in a moment.\n",
    (*_COMMON, ("Retry-After", str(RETRY_AFTER))),
)
GONE: Final = Answer(
    409,
    "Your session has ended or changed in another request. Please reload the page.\n",
    _COMMON,
)


def answer_to(error: SessionError) -> Answer | None:
    """The answer to an error that is not the application's own doing; None: raise it."""
    if isinstance(error, StoreError):
        return UNAVAILABLE
    if isinstance(error, SessionGone):
        return GONE
    return None
