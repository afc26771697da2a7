"""The state machine: its rules are what clients, apps, servers, time and the network can do.

A request is a value in a bundle, and its begin, load, every change, each command of its commit and
its answer are rules of their own. So hypothesis decides who comes between whom, and shrinks it.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
)
from itsdangerous.encoding import base64_decode

from sessionstore.core.state import Status
from sessionstore.core.token import TokenSigner
from sessionstore.stores.base import Store
from tests.model.requests import Request
from tests.model.spec import ABSOLUTE, GRACE, IDLE, TOUCH, Kept
from tests.model.world import (
    KEYS,
    LAST_PHASE,
    PASSES,
    READ_FAULTS,
    WRITE_FAULTS,
    Fate,
    World,
)

# What goes well is drawn as often as all that does not, or nothing would ever come to an end.
READS = st.sampled_from([PASSES] * len(READ_FAULTS) + READ_FAULTS)
WRITES = st.sampled_from([PASSES] * len(WRITE_FAULTS) + WRITE_FAULTS)
CHANGES = st.sampled_from(
    [
        "put a",
        "put b",
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
CALM = 6
"""Steps of requests for each disaster: with more of them, few sessions would live to be raced for.
"""


def calm(self: Any) -> bool:
    """Whether it is time for the next disaster."""
    return bool(self.disasters * CALM <= self.steps)


ESSENTIAL = {"begin", "crowd", "mutate", "rotate", "step", "finish"}


class _AlwaysEssential:
    """Hypothesis leaves out some rules from each example, half of them on average, so that others
    meet more often ("swarm testing"). Without one of these, nothing happens at all."""

    def __init__(self, flags: Any) -> None:
        self._flags = flags

    def is_enabled(self, name: str) -> bool:
        """Whether this example has the rule."""
        return name in ESSENTIAL or bool(self._flags.is_enabled(name))


class Sessions(RuleBasedStateMachine):
    """Clients, app servers and a store.

    :param store: where the sessions are; None: in memory, by the clock of the servers
    :param met: counts what was met
    """

    tokens = Bundle("tokens")
    requests = Bundle("requests")
    world: World

    def __init__(self, store: Store | None = None, met: Counter[str] | None = None) -> None:
        super().__init__()
        self._met = met
        chosen: Any = self._rules_strategy  # not public: test_model.py notices if it changes
        chosen.enabled_rules_strategy = chosen.enabled_rules_strategy.map(_AlwaysEssential)
        self._store = store
        self._number = 0
        self._requests = 0
        self.steps = 0
        self.disasters = 0

    @initialize(
        target=tokens,
        anonymous=st.booleans(),
        encrypted=st.booleans(),
        keep_empty=st.booleans(),
        patient=st.booleans(),
        phase=st.integers(1, 3),
        users=st.sampled_from([[None], ["ann"], [None, "ann"]]),
    )
    def start(
        self,
        anonymous: bool,
        encrypted: bool,
        keep_empty: bool,
        patient: bool,
        phase: int,
        users: list[str | None],
    ) -> Any:
        """Two servers, in the midst of a deployment, and one or two sessions.

        :param keep_empty: as in Django
        :param phase: of key rotation
        """
        settings = {
            "encryption_keys": KEYS[:1] if encrypted else [],
            "keep_empty": keep_empty,
            "on_unavailable": "anonymous" if anonymous else "error",
        }
        self.world = World(self._store, settings, patient=patient, phase=phase)
        return multiple(*[self._signed_up(user) for user in users])

    def _signed_up(self, user: str | None) -> str:
        request = self.world.begin(None, newest=True)
        request.put("a", self._unique())
        if user is not None:
            request.log_in(user)
        self.world.commit(request)
        token = self.world.answer(request)
        assert token is not None
        return token

    def _unique(self) -> int:
        self._number += 1
        return self._number

    # -- the world --

    @precondition(lambda self: calm(self) and self.world.phase < LAST_PHASE)
    @rule()
    def deploy(self) -> None:
        """The next phase of key rotation, on half of the servers."""
        self.disasters += 1
        self.world.deploy()

    @precondition(calm)
    @rule(token=tokens)
    def evict(self, token: str) -> None:
        """The store loses a session."""
        self.disasters += 1
        self.world.oracle.lose(token[:16])

    @precondition(calm)
    @rule(source=tokens, other=tokens)
    def copy_record(self, source: str, other: str) -> None:
        """Somebody who can write to the store puts one session's record under another's key."""
        self.disasters += 1
        oracle = self.world.oracle
        value = oracle.bytes_of(source[:16])
        is_own = isinstance(oracle.stored.get(source[:16]), Kept)
        if value is not None and is_own and source[:16] != other[:16]:
            oracle.put(other[:16], value)

    @precondition(lambda self: self.world.late)
    @rule()
    def arrive(self) -> None:
        """A command that was delayed on its way arrives."""
        self.world.late.pop(0)()

    @precondition(lambda self: not self.world.under_way)
    @rule(seconds=st.sampled_from([1.0, GRACE, TOUCH, IDLE - TOUCH]))
    def wait(self, seconds: float) -> None:
        """Time passes, though not within a commit: half a second is all that one may take."""
        self.world.now += seconds

    @precondition(lambda self: calm(self) and not self.world.under_way)
    @rule(seconds=st.sampled_from([IDLE, ABSOLUTE]))
    def outlast(self, seconds: float) -> None:
        """So much of it that sessions end."""
        self.disasters += 1
        self.world.now += seconds

    # -- clients --

    @precondition(lambda self: self._requests < AT_ONCE)
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
        self._requests += 1
        request = self.world.begin(token, newest=newest)
        if reads:
            self.world.load(request)
            request.look()
        return request

    begin_too = begin
    """Twice as likely as what comes only once."""

    @precondition(lambda self: self._requests == 0)
    @rule(target=requests, token=tokens, newest=st.booleans())
    def crowd(self, token: str, newest: bool) -> Any:
        """A browser's requests for the parts of one page: all have read the same."""
        self._requests += 3
        crowd = [self.world.begin(token, newest=newest) for _ in range(3)]
        for request in crowd:
            self.world.load(request)
            request.look()
        return multiple(*crowd)

    @precondition(lambda self: calm(self) and self._requests < AT_ONCE)
    @rule(target=requests, token=tokens, other=tokens)
    def mismatch(self, token: str, other: str) -> Request:
        """Somebody who has stolen the signing key puts a secret of theirs to another's handle."""
        key = self.world.servers[-1].keys[0]
        signer = TokenSigner(key, absolute_timeout=ABSOLUTE)
        secret = base64_decode(other[17:60])
        self._requests += 1
        self.disasters += 1
        mixed = signer.mint(token[:16], secret, 0, self.world.now)
        return self.world.begin(mixed.text, newest=True)

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
        self.world.load(request, fate)

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
                request.put(name, self._unique())
            case ["append", name]:
                request.append(name, self._unique())
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
                request.put("a", self._unique())
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
        self._requests -= 1
        answered = request.headers_sent
        self.world.commit(request)
        token = self.world.answer(request)
        return multiple() if token is None or answered else token

    @precondition(calm)
    @rule(request=consumes(requests))
    def cancel(self, request: Request) -> None:
        """The client has gone, or the process has been killed: no more of this request."""
        self.disasters += 1
        self._requests -= 1
        self.world.cancel(request)

    def teardown(self) -> None:
        """What was promised is still there, and nothing else."""
        if hasattr(self, "world") and sys.exc_info()[0] is None:
            for request in list(self.world.under_way):
                self.world.cancel(request)
            for handle in list(self.world.oracle.stored):
                self.world.oracle.current(handle)
            if self._met is not None:
                self._met.update(self.world.met)
