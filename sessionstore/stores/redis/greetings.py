"""What a new connection asks before it is used, where addresses come from hearsay."""

from __future__ import annotations

from typing import Any, Final

from sessionstore.core.errors import StoreError
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.redis import commands
from sessionstore.stores.redis.endpoint import Greeting
from sessionstore.stores.redis.failures import ReplyError, from_reply


def _is_primary(reply: Any, node: str) -> None:
    if isinstance(reply, ReplyError):
        raise from_reply(reply, node)
    try:
        role = commands.role(reply)
    except StoreError as error:
        raise Failure(error, retry=False) from None
    if role != "master":
        # Sentinel has moved on, or is about to: the next attempt asks it.
        raise unavailable("the server is not the primary any more", node, silent=False)


def _allows_reads(reply: Any, node: str) -> None:
    if isinstance(reply, ReplyError):
        raise from_reply(reply, node)


PRIMARY: Final = Greeting(("HELLO",), _is_primary)
"""``HELLO`` and not ``ROLE``: every user may say it, and it changes nothing."""

CLUSTER_REPLICA: Final = Greeting(("READONLY",), _allows_reads)
"""Without it, a replica of a cluster sends everybody on to its primary."""
