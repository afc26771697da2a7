"""What Memcached's errors mean. No message quotes the server."""

from __future__ import annotations

from typing import Final

from sessionstore.core.errors import StoreError, StoreFull, StoreRefused, StoreUnavailable
from sessionstore.stores.attempts import Failure
from sessionstore.stores.memcached.messages import ERRORS, Outcome, Reply

_TEXTS: Final[dict[Outcome, tuple[type[StoreError], str]]] = {
    Outcome.UNAUTHENTICATED: (StoreRefused, "the server wants a user name and password"),
    Outcome.TOO_LARGE: (
        StoreRefused,
        "the item is larger than the server takes (-I), and what was there before is deleted",
    ),
    Outcome.FULL: (
        StoreFull,
        "the server is out of memory and does not evict (-M); what was there before is deleted",
    ),
    Outcome.UNKNOWN: (StoreRefused, "the server does not know the command"),
    Outcome.INVALID: (StoreRefused, "the server does not understand the command"),
    Outcome.CROWDED: (StoreUnavailable, "the server has no free connection (-c)"),
    Outcome.FAILED: (StoreUnavailable, "the server, or what is behind it, failed"),
}
_IN_STEP: Final = frozenset((Outcome.TOO_LARGE, Outcome.FULL, Outcome.UNKNOWN))
"""After these, the connection is as good as before."""


def is_broken(reply: Reply) -> bool:
    """Whether nothing may be asked on this connection any more."""
    return reply.outcome in ERRORS and reply.outcome not in _IN_STEP


def from_reply(reply: Reply, node: str) -> Failure:
    """What an error means."""
    kind, text = _TEXTS[reply.outcome]
    return Failure(
        kind(text, node=node),
        # A proxy that has lost its server cannot tell whether that one executed a write.
        lost=reply.outcome is Outcome.FAILED,
        retry=kind is StoreUnavailable,
        broken=is_broken(reply),
        login=reply.outcome is Outcome.UNAUTHENTICATED,
    )
