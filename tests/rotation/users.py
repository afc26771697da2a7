"""Users who are logged in and stay active, each at all servers in turn, and what befalls them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sessionstore.core.token import TokenSigner
from tests.support.sites import COOKIE, Action, Answer, cookie_value

PATIENCE: Final = 30.0
"""Seconds for all users to get on, on a machine that is busy."""
_SETTLED: Final = 3
"""Requests of each tab at each server until a deployment counts as met."""


class Serves(Protocol):
    """Whatever takes a request."""

    def request(self, action: Action, cookie: bytes | None = None) -> Answer: ...


@dataclass
class User:
    """One browser, whose tabs share a cookie.

    :param writes: whether it changes something each time, or only reads
    :param tabs: requests that it has under way at once
    """

    name: str
    writes: bool
    tabs: int = 1
    cookie: str | None = None
    written: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def visit(self, server: Serves, action: Action) -> Answer:
        """A request, of which the jar keeps what it sets."""
        header = None if self.cookie is None else f"{COOKIE}={self.cookie}".encode()
        answer = server.request(action, header)
        for value in answer.set_cookies:
            self.cookie = cookie_value(value)
        return answer

    def log_in(self, server: Serves) -> None:
        """Make the cookie one of a logged-in session."""
        answer = self.visit(server, lambda session: session.login(self.name))
        assert answer.status == 200

    def is_signed_by(self, key: str) -> bool:
        """Whether a server with this key alone would accept the cookie."""
        signer = TokenSigner(key.encode(), absolute_timeout=86400)
        return self.cookie is not None and signer.verify(self.cookie, time.time()) is not None

    def act(self, server: Serves) -> Answer:
        """One request of one of its tabs; the result is whom it was taken for."""
        return self.visit(server, self._page)

    def _page(self, session: Any) -> str | None:
        if self.writes and session.subject is not None:
            session["written"] = next(self.written)
        subject: str | None = session.subject
        return subject


class Load:
    """All users' tabs, each a thread that goes from server to server."""

    def __init__(self, users: Sequence[User], servers: Sequence[Serves]) -> None:
        self._users = users
        self._servers = servers
        self._stopping = threading.Event()
        self._done: dict[tuple[str, int, int], int] = {}
        self.logged_out: list[str] = []
        self.failed: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the users are active."""
        threads = [
            threading.Thread(target=self._tab, args=(user, tab))
            for user in self._users
            for tab in range(user.tabs)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    @property
    def requests(self) -> int:
        """How many there were."""
        return sum(self._done.values())

    def _tab(self, user: User, tab: int) -> None:
        for turn in itertools.count(tab):
            if self._stopping.is_set():
                return
            where = turn % len(self._servers)
            answer = user.act(self._servers[where])
            if answer.status != 200:
                self.failed.append(f"{user.name} at server {where}: {answer}")
            elif answer.result != user.name:
                self.logged_out.append(f"{user.name} at server {where}")
            key = (user.name, tab, where)
            self._done[key] = self._done.get(key, 0) + 1

    def settle(self) -> None:
        """Until every tab has met every server as it is now, or somebody was logged out."""
        before = dict(self._done)
        places = [
            (user.name, tab, where)
            for user in self._users
            for tab in range(user.tabs)
            for where in range(len(self._servers))
        ]
        self.wait_until(
            lambda: all(
                self._done.get(place, 0) - before.get(place, 0) >= _SETTLED for place in places
            )
        )

    def wait_for_a_logout(self) -> None:
        """Wait until somebody is logged out, whatever else goes wrong before: a write may be
        refused first, whose record is under a key that is not known there."""
        deadline = time.monotonic() + PATIENCE
        while not self.logged_out and time.monotonic() < deadline:
            time.sleep(0.005)

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait while the users go on; the first who is logged out ends it."""
        deadline = time.monotonic() + PATIENCE
        while not (reached() or self.logged_out or self.failed):
            assert time.monotonic() < deadline, "the users do not get on"
            time.sleep(0.005)
