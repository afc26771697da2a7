"""App servers on one store, and what the rules of the machine are made of."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sessionstore import MemoryStore, Session, SessionConfig, SessionManager
from sessionstore.core.errors import (
    DeadlineExceeded,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.state import Status
from sessionstore.stores.base import Store
from tests.model.behind import Behind
from tests.model.calls import LOST, Call, Done
from tests.model.commits import Commit, Server
from tests.model.oracle import Oracle
from tests.model.requests import Request
from tests.model.situations import situations
from tests.model.spec import ABSOLUTE, GRACE, IDLE, Reader
from tests.model.stepping import PausingStore, Ran, Running, Sent, handle_of, held_back
from tests.model.verdict import conclude
from tests.support.scripted_store import Send, Step, loses_command, loses_reply, passes, raises

NOW: Final = 1_800_000_000.0
KEYS: Final = [f"key {number} of the model, 32 bytes or more".encode() for number in range(6)]
LAST_PHASE: Final = 3 * (len(KEYS) - 1) - 1

_numbers = itertools.count(1)


def entropy(size: int) -> bytes:
    """Randomness that never repeats, not even in the next example: all may share one store."""
    return next(_numbers).to_bytes(size, "big")


class Fate(NamedTuple):
    """What becomes of one command."""

    name: str
    step: Step

    def __repr__(self) -> str:
        return self.name


def _fails(name: str, error: StoreError) -> Fate:
    return Fate(name, raises(error))


PASSES: Final = Fate("passes", passes)
READ_FAULTS: Final = [
    _fails("unavailable", StoreUnavailable("connection refused")),
    _fails("deadline", DeadlineExceeded("no answer within 0.5 s")),
    _fails("StoreRefused", StoreRefused("no permission")),
]
WRITE_FAULTS: Final = [
    Fate("loses_reply", loses_reply),
    Fate("loses_command", loses_command),
    Fate("held_back", passes),
    *READ_FAULTS,
    _fails("StoreFull", StoreFull("out of memory")),
]


class World:
    """Servers, a store between faults, a clock, and requests under way.

    :param store: where the sessions are; None: in memory
    :param settings: of every server
    :param behind: what looks into it from beside; None: its own verbs do
    :param patient: the clock of a store in memory stands still, so that nothing expires by it
    :param phase: of key rotation, which the newer of two servers has reached
    """

    def __init__(
        self,
        store: Store | None,
        settings: dict[str, Any],
        *,
        patient: bool,
        phase: int,
        behind: Behind | None = None,
    ) -> None:
        self.now = NOW
        self.phase = phase
        self.met: Counter[str] = Counter()
        self.settings = settings
        self.under_way: set[Request] = set()
        self.late: list[Callable[[], object]] = []
        store = store or MemoryStore(clock=(lambda: NOW) if patient else self.clock)
        reader = Reader(KEYS, settings["encryption_keys"])
        self.oracle = Oracle(store, reader, self.clock, behind)
        # Where a session is on several servers, several commands find it.
        self._looks_around = behind is not None
        self.store = PausingStore(store, self._witness, self.oracle.check_ttl, self._ended)
        self._acting: tuple[Commit, Done | None] | None = None
        self.servers = [self._deployed(phase - 1), self._deployed(phase)]

    def clock(self) -> float:
        """Seconds since the epoch, for the servers."""
        return self.now

    def _deployed(self, phase: int) -> Server:
        """A server of one phase of key rotation: each key takes three deployments."""
        number, part = divmod(phase, 3)
        old, new = KEYS[number], KEYS[number + 1]
        keys = [(old,), (old, new), (new, old)][part]
        config = SessionConfig(
            secret_key=keys[0],
            secret_key_fallbacks=keys[1:],
            idle_timeout=IDLE,
            absolute_timeout=ABSOLUTE,
            rotation_grace=GRACE,
            **self.settings,
        )
        manager = SessionManager(self.store, config, clock=self.clock, entropy=entropy)
        return Server.of(manager)

    def deploy(self) -> None:
        """The next phase of key rotation; the servers of the one before are still there."""
        self.phase += 1
        self.servers = [self.servers[-1], self._deployed(self.phase)]

    def _witness(self, sent: Sent, send: Send) -> object:
        assert self._acting is not None
        commit, done = self._acting
        if done is None:
            done = Done(sent.call, handle_of(sent), "passes")
            commit.done.append(done)
        return self.oracle.witness(commit, done, sent, send)

    def _ended(self, call: Call) -> None:
        assert self._acting is not None
        self.oracle.ended(self._acting[0], call)

    # -- requests --

    def begin(self, cookie: str | None, *, newest: bool) -> Request:
        """A request that has just come."""
        server = self.servers[-1 if newest else 0]
        sent = len(self.store.verbs)
        session = server.manager.begin(cookie, Session, lazy=False)
        assert len(self.store.verbs) == sent, "10: a command before anything was asked for"
        token = cookie if self.oracle.accepts(server, cookie) else None
        request = Request(server, token, session)
        assert session.state.status is request.status, "10: unsigned, or signed and refused"
        return request

    def load(self, request: Request, fate: Fate = PASSES, place: int = 0) -> None:
        """Its session is loaded, or not.

        :param place: of the command that meets this fate; what there is no command for meets none
        """
        if request.commit is not None:
            return
        sent = len(self.store.verbs)
        running = Running(request.server.manager.aload(request.session.state))
        if request.status is not Status.UNLOADED:
            assert running.done and len(self.store.verbs) == sent, "10: loaded for nothing"
            return
        commit = request.begin_commit(self.now, force=False)
        request.commit = None
        count = 0
        while running.waiting is not None:
            met = fate if count == place else PASSES
            self._acting = (commit, Done(running.waiting.call, request.handle or "", met.name))
            running.step(met.step)
            count += 1
        assert count == 1 or self._looks_around, "one command loads a session"
        fate = fate if place < count else PASSES
        self.met["faults"] += fate is not PASSES
        anonymous = self.settings["on_unavailable"] == "anonymous" and not request.destroyed
        if fate is PASSES:
            assert running.error is None, running.error
            request.failure, request.status = None, commit.status
        elif anonymous and fate.name in {"unavailable", "deadline"}:
            assert running.error is None, running.error
            request.status, request.failure = Status.UNAVAILABLE, StoreUnavailable("")
        else:
            assert isinstance(running.error, StoreError), "12: a failure is an empty session"
            request.failure = running.error
        assert request.session.state.status is request.status, "1, 3, 5, 7, 8, 12: not this"

    # -- commits --

    def commit(self, request: Request, *, force: bool = False) -> None:
        """The whole commit, or what is left of it, without anybody coming between."""
        if request.commit is None:
            commit = request.begin_commit(self.now, force=force)
            manager, session = request.server.manager, request.session
            self._acting = (commit, None)
            saved = Ran(lambda: manager.save(session.state, session.content(), force=force))
            self._went_on(commit, saved)
        while request.commit is not None:
            self.step(request, PASSES)

    def start(self, request: Request) -> None:
        """Begin a commit, and stop before its first command."""
        commit = request.begin_commit(self.now, force=False)
        running = Running(request.server.manager.acommit(request.session))
        self._went_on(commit, running)

    def step(self, request: Request, fate: Fate) -> None:
        """One command of a commit."""
        commit = request.commit
        assert commit is not None and commit.running is not None
        sent = commit.running.waiting
        assert sent is not None
        if not sent.writes and fate not in READ_FAULTS:
            fate = PASSES
        done = Done(sent.call, handle_of(sent), fate.name, command=sent.command)
        _check_create(commit, done)
        commit.done.append(done)
        self._acting = (commit, done)
        self.met["faults"] += fate is not PASSES
        commit.running.step(self._held(commit, done) if fate.name == "held_back" else fate.step)
        self._went_on(commit, commit.running)

    def _held(self, commit: Commit, done: Done) -> Step:
        def hold(send: Send) -> object:
            def arrives() -> object:
                self._acting = (commit, done)
                reply = send()
                self.met["a delayed write that arrives"] += done.effect is not None
                return reply

            return held_back(self.late)(arrives)

        return hold

    def _went_on(self, commit: Commit, running: Running | Ran) -> None:
        request = commit.request
        if isinstance(running, Running):
            commit.running = running
        if not running.done:
            self.under_way.add(request)
            return
        self.under_way.discard(request)
        conclude(self.oracle, commit, running)
        self.met["commits"] += 1
        self.met.update(situations(commit, running.error))
        if running.error is None and running.result is not None:
            request.answer = running.result

    def answer(self, request: Request) -> str | None:
        """The headers are sent: the client gets what the last commit had for it, if anything."""
        request.headers_sent = request.session.state.headers_sent = True
        return None if request.answer is None else request.answer.value

    def cancel(self, request: Request) -> None:
        """The client has gone, or the process has been killed: no more of this request."""
        if request.commit is not None and request.commit.running is not None:
            request.commit.running.cancel()
            self.met["a cancelled commit"] += 1
        request.commit = None
        self.under_way.discard(request)


def _check_create(commit: Commit, done: Done) -> None:
    if done.verb != "create":
        return
    earlier = [it for it in commit.done if it.verb == "create" and it.handle == done.handle]
    # One call may take several commands, to several servers: the copy's may be repeated.
    again = any(it.call is not done.call for it in earlier)
    again = again or any(it.fate in LOST and it.command == done.command for it in earlier[:1])
    assert not again, "a create is repeated under its handle"
