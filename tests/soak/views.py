"""What every site of the soak does with a session.

An answer says what the request has found, and when: what it found, it found before that moment;
what it did, it did after.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

from tests.soak.inside import Reporter

NAMES: Final = ("a", "b", "c")
PLANTED: Final = frozenset(os.environ.get("SOAK_PLANT", "").split(","))
"""Bugs of the site's own, for a test of the soak: ``writes``, ``descriptors``, ``objects``."""

_reporter = Reporter()
_leaked: list[Any] = []


class Request:
    """One request: ``/ACTION/ARGUMENT...?MILLISECONDS``, the time between finding and doing."""

    def __init__(self, path: str, query: str) -> None:
        self.action, *self.arguments = path.strip("/").split("/")
        self.pause = int(query or 0) / 1000
        self.status = 200
        self.body: dict[str, Any] = {}

    def look(self, session: Any) -> None:
        """What there is. To be followed by the pause, and then by :meth:`act`."""
        _reporter.request()
        found = {name: session.get(name) for name in (*NAMES, "_flashes")}
        found["subject"] = session.subject
        self.body = {"found": found if any(found.values()) else None, "at": time.monotonic_ns()}

    def act(self, session: Any) -> None:
        """What was asked for; 401 and nothing if no session was found."""
        if "objects" in PLANTED:
            _leaked.extend(bytearray(9) for _ in range(50))
        if self.action == "begin":
            session["a"] = int(self.arguments[0])
        elif self.body["found"] is None:
            self.status = 401
        elif self.action != "read":
            _ACTIONS[self.action](session, *self.arguments)


def _write(session: Any, name: str, value: str) -> None:
    if "descriptors" in PLANTED:
        # So many because the test runs for seconds, of which a busy machine makes few requests.
        _leaked.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(10))
    if "writes" not in PLANTED or int(value) % 7:
        session[name] = int(value)


def _append(session: Any, value: str) -> None:
    session["_flashes"] = [*session.get("_flashes", []), int(value)]


_ACTIONS: Final[dict[str, Any]] = {
    "write": _write,
    "append": _append,
    "rotate": lambda session: session.rotate(),
    "login": lambda session, user: session.login(user),
    "logout": lambda session: session.logout(),
    # Django's own; the others have no lifetime of one session.
    "expire": lambda session, seconds: session.set_expiry(int(seconds)),
}
