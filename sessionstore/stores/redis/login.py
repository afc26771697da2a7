"""AUTH on a connection that is open already."""

from __future__ import annotations

from typing import Any

from sessionstore.stores.credentials import Credential
from sessionstore.stores.redis.endpoint import pack
from sessionstore.stores.redis.failures import ReplyError


def auth(credential: Credential) -> bytes:
    """The command that logs in. It changes neither the database nor any reply's place."""
    name = () if credential.username is None else (credential.username,)
    return pack(("AUTH", *name, credential.password))


def wants_login(reply: Any) -> bool:
    """Whether the server did not execute the command, because the log-in has ended."""
    if type(reply) is list and reply:
        reply = reply[0]  # of several commands, of which then none was executed
    return type(reply) is ReplyError and str(reply).startswith(("NOAUTH", "WRONGPASS"))
