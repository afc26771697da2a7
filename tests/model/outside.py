"""What a session's clients and apps cannot help: servers, deployments, time, and a store that loses
things or is tampered with. The first half of the machine; ``machine.py`` has the other."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
)

from sessionstore.stores.base import Store
from tests.model.behind import Behind, Lose
from tests.model.requests import Request
from tests.model.spec import ABSOLUTE, GRACE, IDLE, TOUCH, Kept
from tests.model.world import KEYS, LAST_PHASE, World

tokens = Bundle("tokens")
"""What clients hold, or have held."""

CALM = 6
"""Steps of requests for each disaster: with more of them, few sessions would live to be raced for.
"""


def calm(self: Any) -> bool:
    """Whether it is time for the next disaster."""
    return bool(self.disasters * CALM <= self.steps)


ALL_OF_IT = list(Lose)
ESSENTIAL = {"begin", "crowd", "mutate", "rotate", "step", "finish"}


class _AlwaysEssential:
    """Hypothesis leaves out some rules from each example, half of them on average, so that others
    meet more often ("swarm testing"). Without one of these, nothing happens at all."""

    def __init__(self, flags: Any) -> None:
        self._flags = flags

    def is_enabled(self, name: str) -> bool:
        """Whether this example has the rule."""
        return name in ESSENTIAL or bool(self._flags.is_enabled(name))


class Outside(RuleBasedStateMachine):
    """Servers on one store.

    :param store: where the sessions are; None: in memory, by the clock of the servers
    :param met: counts what was met
    :param behind: see :class:`.world.World`
    :param restart: ends the store's server and starts it again, with nothing in it
    """

    world: World

    def __init__(
        self,
        store: Store | None = None,
        met: Counter[str] | None = None,
        *,
        behind: Behind | None = None,
        restart: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._behind = behind
        self._restart = restart
        self._met = met
        chosen: Any = self._rules_strategy  # not public: test_model.py notices if it changes
        chosen.enabled_rules_strategy = chosen.enabled_rules_strategy.map(_AlwaysEssential)
        self._store = store
        self._number = 0
        self.alive: list[Request] = []
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
        self.world = World(self._store, settings, patient=patient, phase=phase, behind=self._behind)
        return multiple(*[self._signed_up(user) for user in users])

    def _signed_up(self, user: str | None) -> str:
        request = self.world.begin(None, newest=True)
        request.put("a", self.unique())
        if user is not None:
            request.log_in(user)
        self.world.commit(request)
        token = self.world.answer(request)
        assert token is not None
        return token

    def unique(self) -> int:
        """A value that nothing else has."""
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
        """The store loses a session, or one of its two copies."""
        self.disasters += 1
        what = ALL_OF_IT[self.steps % 3] if self._behind else Lose.ALL
        self.world.oracle.lose(token[:16], what)

    @precondition(lambda self: self._restart is not None and calm(self))
    @rule()
    def restart(self) -> None:
        """The store's server is killed, and comes back empty."""
        self.disasters += 1
        assert self._restart is not None
        self._restart()
        self.world.oracle.restarted()

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
        self._pass(seconds)

    @precondition(lambda self: calm(self) and not self.world.under_way)
    @rule(seconds=st.sampled_from([IDLE, ABSOLUTE]))
    def outlast(self, seconds: float) -> None:
        """So much of it that sessions end."""
        self.disasters += 1
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        """Not beyond a deadline that a request is about to set: then there is nothing to store."""
        after = self.world.now + seconds
        wishes = [request.lifetime for request in self.alive if request.lifetime is not None]
        if all(wish.absolute is None or after < wish.absolute for wish in wishes):
            self.world.now = after

    def teardown(self) -> None:
        """What was promised is still there, and nothing else."""
        if hasattr(self, "world") and sys.exc_info()[0] is None:
            for request in list(self.world.under_way):
                self.world.cancel(request)
            for handle in list(self.world.oracle.stored):
                self.world.oracle.current(handle)
            if self._met is not None:
                self._met.update(self.world.met)
                self._met.update(runs=1, commands=len(self.world.store.verbs))
