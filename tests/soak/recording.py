"""From requests and their answers to operations of a history."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any, Final

from tests.concurrency.clients import secret_of
from tests.concurrency.history import PENDING, History, Operation
from tests.soak.spec import GONE, NOTHING
from tests.soak.views import NAMES
from tests.support.http_client import Reply

SAVING: Final = frozenset({"write", "append", "expire"})


@dataclass(frozen=True)
class Asked:
    """A request.

    :param token: with which cookie; None: without
    """

    kind: str
    arguments: tuple[Any, ...]
    token: str | None


class Recorder:
    """Writes down what was asked and answered, session by session.

    :ivar owners: whose each session is: the number of the user
    """

    def __init__(self) -> None:
        self.history = History()
        self.owners: dict[str, int] = {}
        self._lost = itertools.count()

    def answered(self, user: int, asked: Asked, reply: Reply, began: int) -> None:
        """What came of a request. Status 0: nothing did, as far as anybody knows.

        :param began: when, in nanoseconds of the monotonic clock
        """
        ended = time.monotonic_ns()
        if asked.token is None:
            self._begun(user, asked, reply, (("a", asked.arguments[0]),), None, (began, ended))
            return
        handle, secret = asked.token[:16], secret_of(asked.token)
        between = began
        if "found" in reply.body:
            between = int(reply.body["at"])
            seen = _seen(reply.body["found"])
            self._add(handle, "open", (secret,), seen, (began, between))
        if asked.kind == "read" or reply.status == 401:
            return
        self._did(user, asked, reply, (between, ended))

    def _did(self, user: int, asked: Asked, reply: Reply, during: tuple[int, int]) -> None:
        assert asked.token is not None
        handle, secret, kind = asked.token[:16], secret_of(asked.token), asked.kind
        # A cookie is sent for what is stored, also with an answer that reports a later failure.
        fresh = reply.cookie if reply.cookie and reply.cookie != asked.token else None
        if kind == "login" and fresh is not None and fresh[:16] != handle:
            self._add(handle, kind, (secret, "", *asked.arguments), "elsewhere", during)
            self._begun(user, asked, reply, (), asked.arguments[0], during)
            return
        result = _result(kind, reply, fresh)
        arguments = (secret, *asked.arguments)
        if kind in {"rotate", "login"}:
            new = f"lost-{next(self._lost)}" if fresh is None else secret_of(fresh)
            arguments = (secret, new, *asked.arguments)
        if result is not None:
            self._add(handle, kind, arguments, result, during)
        if result in {None, GONE}:
            # Gone: or it was stored before, its reply was lost, and the session ended since.
            self._add(handle, kind, arguments, None, (during[0], PENDING))

    def _begun(
        self,
        user: int,
        asked: Asked,
        reply: Reply,
        attributes: tuple[tuple[str, int], ...],
        subject: str | None,
        during: tuple[int, int],
    ) -> None:
        if not reply.cookie:
            return  # nobody has its token
        handle = reply.cookie[:16]
        self.owners[handle] = user
        life = (attributes, (), subject, secret_of(reply.cookie))
        self._add(handle, "begin", life, "begun", during)

    def _add(
        self,
        handle: str,
        name: str,
        arguments: tuple[Any, ...],
        result: Any,
        during: tuple[int, int],
    ) -> None:
        operation = Operation(handle, name, arguments, result, *during)
        self.history.operations.append(operation)


def _seen(found: dict[str, Any] | None) -> Any:
    if found is None:
        return NOTHING
    attributes = tuple((name, found[name]) for name in NAMES if found[name] is not None)
    return attributes, tuple(found["_flashes"] or ()), found["subject"]


def _result(kind: str, reply: Reply, fresh: str | None) -> str | None:
    """What the answer says of the commit; None: nothing."""
    if kind in {"rotate", "login"} and fresh is not None:
        return "rotated" if kind == "rotate" else "logged in"
    if reply.status == 409:
        return GONE
    if reply.status != 200 or kind in {"rotate", "login"}:
        return None  # who loses a rotation to another request is not told so
    if kind == "logout":
        return "logged out" if reply.cookie == "" else "not ours"
    return "saved" if kind in SAVING else None
