"""The state machine: its rules are what clients, apps, servers, time and the network can do.

A request is a value in a bundle, and its begin, load, every change, each command of its commit and
its answer are rules of their own. So hypothesis decides who comes between whom, and shrinks it.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import Bundle, consumes, multiple, precondition, rule
from itsdangerous.encoding import base64_decode

from sessionstore.core.state import Lifetime, Status
from sessionstore.core.token import TokenSigner
from tests.model.outside import Outside, calm, tokens
from tests.model.requests import Request
from tests.model.spec import ABSOLUTE, IDLE
from tests.model.world import PASSES, READ_FAULTS, WRITE_FAULTS, Fate

requests = Bundle("requests")

# What goes well is drawn as often as all that does not, or nothing would ever come to an end.
READS = st.sampled_from([PASSES] * len(READ_FAULTS) + READ_FAULTS)
WRITES = st.sampled_from([PASSES] * len(WRITE_FAULTS) + WRITE_FAULTS)
CHANGES = st.sampled_from(
    [
        "put a",
        "put b",
        "put _user_id",
        "append _flashes",
        "append list",
        "pop a",
        "pop _flashes",
        "pop all",
        "clear",
    ]
)
USERS = st.sampled_from(["ann", "bob"])
AT_ONCE = 4
"""Requests at most: of more, each would get too few steps to meet another."""


class Sessions(Outside):
    """Clients and apps on top of it."""

    # -- clients --

    def _came(self, request: Request) -> Request:
        self.alive.append(request)
        return request

    @precondition(lambda self: len(self.alive) < AT_ONCE)
    @rule(
        target=requests,
        token=st.one_of(*[tokens] * 5, st.none()),
        newest=st.booleans(),
        reads=st.booleans(),
    )
    def begin(self, token: str | None, newest: bool, reads: bool) -> Request:
        """A request, with or without a cookie, whichever server it reaches.

        :param reads: whether the app reads its session at once
        """
        self.steps += 1
        request = self._came(self.world.begin(token, newest=newest))
        if reads:
            self.world.load(request)
            request.look()
        return request

    begin_too = begin
    """Twice as likely as what comes only once."""

    @precondition(lambda self: not self.alive)
    @rule(target=requests, token=tokens, newest=st.booleans())
    def crowd(self, token: str, newest: bool) -> Any:
        """A browser's requests for the parts of one page: all have read the same."""
        crowd = [self._came(self.world.begin(token, newest=newest)) for _ in range(3)]
        for request in crowd:
            self.world.load(request)
            request.look()
        return multiple(*crowd)

    @precondition(lambda self: calm(self) and len(self.alive) < AT_ONCE)
    @rule(target=requests, token=tokens, other=tokens)
    def mismatch(self, token: str, other: str) -> Request:
        """Somebody who has stolen the signing key puts a secret of theirs to another's handle."""
        key = self.world.servers[-1].keys[0]
        signer = TokenSigner(key, absolute_timeout=ABSOLUTE)
        secret = base64_decode(other[17:60])
        self.disasters += 1
        mixed = signer.mint(token[:16], secret, 0, self.world.now)
        return self._came(self.world.begin(mixed.text, newest=True))

    @precondition(calm)
    @rule(token=tokens, place=st.integers(0, 110), newest=st.booleans())
    def forge(self, token: str, place: int, newest: bool) -> None:
        """A token in which one character is another."""
        letter = "A" if token[place] != "A" else "B"
        request = self.world.begin(token[:place] + letter + token[place + 1 :], newest=newest)
        assert request.status is Status.NEW, "10: a forged token"
        self.world.load(request)
        request.look()
        self.world.commit(request)

    @rule(request=requests, fate=READS)
    def load(self, request: Request, fate: Fate) -> None:
        """The session is loaded."""
        place = self.steps % 2 if self._behind else 0
        self.world.load(request, fate, place)

    # -- apps --

    def _app(self, request: Request) -> bool:
        """Whether the app is running, with its session loaded."""
        if request.commit is not None:
            return False
        if request.status is Status.UNLOADED and request.failure is None:
            self.world.load(request)
        return True

    @rule(request=requests)
    def read(self, request: Request) -> None:
        """Everything is read."""
        if self._app(request):
            request.look()

    @rule(request=requests, change=CHANGES)
    def mutate(self, request: Request, change: str) -> None:
        """An attribute is set, changed in place or removed, or all are removed."""
        self.steps += 1
        if not self._app(request):
            return
        match change.split():
            case ["put", name]:
                request.put(name, self.unique())
            case ["append", name]:
                request.append(name, self.unique())
            case ["pop", "all"]:
                for name in list(request.values):
                    request.pop(name)
            case ["pop", name]:
                request.pop(name)
            case _:
                request.clear()

    mutate_too = mutate_again = mutate

    @rule(request=requests, user=USERS)
    def log_in(self, request: Request, user: str) -> None:
        """Somebody signs in."""
        if self._app(request):
            request.log_in(user)

    @rule(request=requests)
    def rotate(self, request: Request) -> None:
        """A step-up."""
        if self._app(request):
            request.rotate()

    rotate_too = rotate

    @rule(
        request=requests,
        idle=st.sampled_from([IDLE / 4, IDLE, 2 * IDLE]),
        absolute=st.sampled_from([None, IDLE / 2, 3 * ABSOLUTE]),
        browser=st.booleans(),
    )
    def live(self, request: Request, idle: float, absolute: float | None, browser: bool) -> None:
        """The app asks for other deadlines.

        :param absolute: seconds from now
        """
        if self._app(request):
            until = None if absolute is None else self.world.now + absolute
            self.world.oracle.latest = max(self.world.oracle.latest, until or 0.0)
            request.live(Lifetime(idle, until, browser))

    @rule(request=requests)
    def destroy(self, request: Request) -> None:
        """A logout, also of a session that nobody has looked at."""
        if request.commit is None:
            request.destroy()

    # -- commits --

    @rule(request=requests)
    def commit(self, request: Request) -> None:
        """The whole commit, or what is left of it, without anybody coming between."""
        self.world.commit(request)

    @rule(request=requests)
    def touch(self, request: Request) -> None:
        """An explicit save: it also records that the session is in use.

        Django makes one each time but for a logout, and Flask of what is loaded and unchanged.
        """
        if self._app(request) and request.look():
            unchanged = request.status is Status.LOADED and not request.is_changed
            django = request.keeps_empty and not request.destroyed
            self.world.commit(request, force=django or unchanged)

    @rule(request=requests, fate=WRITES)
    def step(self, request: Request, fate: Fate) -> None:
        """One command of a commit; a request that has nothing to commit writes something first."""
        self.steps += 1
        if request.commit is None:
            if self._app(request) and not request.is_changed:
                request.put("a", self.unique())
            self.world.start(request)
        if request.commit is not None:
            self.world.step(request, fate)

    step_too = step_again = step

    # -- answers --

    @rule(target=tokens, request=requests)
    def respond(self, request: Request) -> Any:
        """The headers are sent, after a commit; the body may still be made."""
        if request.headers_sent:
            return multiple()
        self.world.commit(request)
        token = self.world.answer(request)
        return multiple() if token is None else token

    @rule(target=tokens, request=consumes(requests))
    def finish(self, request: Request) -> Any:
        """The end of a request."""
        self.alive.remove(request)
        answered = request.headers_sent
        self.world.commit(request)
        token = self.world.answer(request)
        return multiple() if token is None or answered else token

    @precondition(calm)
    @rule(request=consumes(requests))
    def cancel(self, request: Request) -> None:
        """The client has gone, or the process has been killed: no more of this request."""
        self.disasters += 1
        self.alive.remove(request)
        self.world.cancel(request)
