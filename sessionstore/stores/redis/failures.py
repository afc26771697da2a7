"""What Redis's error replies mean. No message quotes the server, because Redis quotes commands in
some of its errors, session and all.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sessionstore.core.errors import StoreError, StoreFull, StoreRefused, StoreUnavailable
from sessionstore.stores.attempts import Failure


class ScriptMissing(StoreRefused):
    """NOSCRIPT: the flow answers it with EVAL."""


class ReplyError(Exception):
    """An error reply as the parser gives it. Never raised out of a transport, never chained."""


class Redirect(NamedTuple):
    """``MOVED`` or ``ASK``: another node of the cluster has the slot.

    :param host: empty: the one that was asked
    :param asking: only this once, because the slot is being moved
    """

    slot: int
    host: str
    port: int
    asking: bool


_REDIRECT: Final = re.compile(r"(MOVED|ASK) ([0-9]{1,5}) (\S*):([0-9]{1,5})")


def redirect_in(reply: ReplyError) -> Redirect | None:
    """Where an error reply sends us, if it does.

    >>> redirect_in(ReplyError("ASK 866 10.0.0.7:6379"))
    Redirect(slot=866, host='10.0.0.7', port=6379, asking=True)
    """
    found = _REDIRECT.fullmatch(str(reply))
    if found is None:
        return None
    kind, slot, host, port = found.groups()
    host = "" if host == "?" else host.strip("[]")
    return Redirect(int(slot), host, int(port), kind == "ASK")


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


def spoils(reply: ReplyError) -> bool:
    """Whether the connection must not be used again after this reply."""
    return _meaning(reply)[1].broken


def from_reply(reply: ReplyError, node: str) -> Failure:
    """What an error reply means. The command was not executed."""
    code, meaning = _meaning(reply)
    return Failure(
        meaning.kind(meaning.text, node=node),
        retry=meaning.retry,
        broken=meaning.broken,
        login=code in {"WRONGPASS", "NOAUTH"},
        demoted=code == "READONLY",
    )


def _meaning(reply: ReplyError) -> tuple[str, _Meaning]:
    text = str(reply)
    found = _WRAPPED.match(text)
    code = found[1] if found else (_CODE.match(text) or [""])[0]
    if code == "ERR" and "max number of clients" in text:
        return code, _TOO_MANY
    known = _MEANINGS.get(code)
    return code, known or _Meaning(
        StoreRefused, f"the server answered with an error ({code or 'no code'})"
    )
