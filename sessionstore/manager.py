"""``SessionManager``: the core's flows with a clock, randomness, deadlines and a store.

Everything that decides is in ``core/``; here is what the core may not have. Each method and its
twin with ``a`` in front run the same flow.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from sessionstore.core.commit import Commit
from sessionstore.core.config import SessionConfig
from sessionstore.core.cookies import Cookie
from sessionstore.core.durability import NOT_REPLICATED
from sessionstore.core.errors import (
    DeadlineExceeded,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.flow import Command, arun, run
from sessionstore.core.opening import Opening
from sessionstore.core.sealing import Sealer
from sessionstore.core.session import Session
from sessionstore.core.state import State, Status
from sessionstore.core.token import TokenSigner
from sessionstore.stores.base import Store

QUIET_SECONDS: Final = 10.0
"""How long a report that comes with every write is not logged again."""

logger = logging.getLogger("sessionstore")

SessionT = TypeVar("SessionT", bound=Session)
Report = Callable[[str, str | None], None]
"""``(what, handle)``: ``bad_secret``, ``token_reuse``, ``ambiguous_cookie``,
``unreadable_record:<why>``, ``not_replicated``, ``touch_failed``, ``unavailable``,
``write_dropped``."""


class SessionManager:
    """Opens and commits sessions. One for each store and configuration; safe to share.

    :param store: where they are kept (:func:`sessionstore.open_store`)
    :param config: how
    :param on_report: called with what an operator may want to count; it is logged in any case
    :param clock: seconds since the epoch; tests pass their own
    :param entropy: gives that many random bytes; tests pass their own

    >>> from sessionstore import MemoryStore
    >>> manager = SessionManager(MemoryStore(), SessionConfig(secret_key="k" * 32))
    >>> session = manager.open(None)
    >>> session["visits"] = 1
    >>> cookie = manager.commit(session)
    >>> manager.open(cookie.value)["visits"]
    1
    """

    def __init__(
        self,
        store: Store,
        config: SessionConfig,
        *,
        on_report: Report | None = None,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.store = store
        self.config = config
        self._on_report = on_report
        self._clock = clock
        self._entropy = entropy
        self._refusal_logged = False
        self._quiet_until = 0.0
        signer = TokenSigner(
            *config.keys,
            absolute_timeout=config.absolute_for(config.idle_timeout),
            clock_skew=config.clock_skew,
        )
        sealer = Sealer(
            config.keys,
            config.encryption,
            encrypt=config.encrypt,
            compression=config.compression,
            compress_over=config.compress_over,
            max_size=config.max_size,
        )
        self._opening = Opening(store, signer, sealer, config.limits)
        self._commit = Commit(store, config, signer, sealer, self._opening)

    # -- for applications and simple adapters --

    def open(self, cookie: str | Iterable[str] | None) -> Session:
        """The session of this cookie, loaded.

        :param cookie: the cookie's value, or all values if several came, or None
        :raises StoreError: the store failed (never an empty session instead)
        """
        session = self.begin(cookie, Session)
        self.load(session.state)
        return session

    async def aopen(self, cookie: str | Iterable[str] | None) -> Session:
        """:meth:`open` for asyncio."""
        session = self.begin(cookie, Session, lazy=False)
        await self.aload(session.state)
        return session

    def commit(self, session: Session) -> Cookie | None:
        """Store what the request did. Each call stores what came since the last.

        :return: None: send nothing. ``Cookie(value, max_age)``: set it. ``Cookie(None)``: delete it
        :raises SessionGone: the session ended, or changed hands, meanwhile; the writes are dropped
        :raises SessionTooLarge: nothing was sent
        :raises UnstorableValue: (a TypeError) naming the path of the value
        :raises StoreError: the store failed
        """
        return self.save(session.state, session.content())

    async def acommit(self, session: Session) -> Cookie | None:
        """:meth:`commit` for asyncio."""
        return await self.asave(session.state, session.content())

    # -- for adapters --

    def begin(
        self,
        cookies: str | Iterable[str] | None,
        session_class: type[SessionT],
        *,
        lazy: bool = True,
    ) -> SessionT:
        """A session that has cost no I/O yet.

        :param lazy: whether the first reading method loads it (synchronously); else
            :meth:`aload` must have been awaited before
        """
        return session_class(self.begin_state(cookies, lazy=lazy))

    def begin_state(self, cookies: str | Iterable[str] | None, *, lazy: bool = True) -> State:
        """:meth:`begin`, for a framework with a session class of its own."""
        candidates = (cookies,) if isinstance(cookies, str) else cookies or ()
        state = self._opening.begin(candidates, self._clock(), self.load if lazy else None)
        if state.reports:
            self._report(state)
        return state

    def load(self, state: State) -> None:
        """Find out what the session is. Does nothing if that is known."""
        if state.status is not Status.UNLOADED:
            return
        try:
            run(self._opening.load(state, self._clock()), self._executor())
        except StoreError as error:
            self._load_failed(state, error)
        if state.reports:
            self._report(state)

    async def aload(self, state: State) -> None:
        """:meth:`load` for asyncio."""
        if state.status is not Status.UNLOADED:
            return
        try:
            await arun(self._opening.load(state, self._clock()), self._aexecutor())
        except StoreError as error:
            self._load_failed(state, error)
        if state.reports:
            self._report(state)

    def save(
        self, state: State, values: Mapping[str, Any] | None, *, force: bool = False
    ) -> Cookie | None:
        """:meth:`commit`, for a framework whose values are in a mapping of its own.

        :param force: an explicit save: a new session is stored even if empty, and a loaded one
            is touched (throttled) even if it was not read
        """
        now = self._clock()
        if values is None or self._commit.is_idle(state, values, now, force=force):
            return None
        flow = self._commit.commit(state, values, now, self._entropy, force=force)
        try:
            return run(flow, self._executor())
        except StoreError as error:
            self._save_failed(state, error)
            return None
        finally:
            self._report(state)

    async def asave(
        self, state: State, values: Mapping[str, Any] | None, *, force: bool = False
    ) -> Cookie | None:
        """:meth:`save` for asyncio."""
        now = self._clock()
        if values is None or self._commit.is_idle(state, values, now, force=force):
            return None
        flow = self._commit.commit(state, values, now, self._entropy, force=force)
        try:
            return await arun(flow, self._aexecutor())
        except StoreError as error:
            self._save_failed(state, error)
            return None
        finally:
            self._report(state)

    def resend(self, state: State) -> Cookie | None:
        """The cookie of an unchanged session once more, for frameworks that refresh it each time.

        :return: None unless this request has loaded the session and found the token current: an
            old token must not overwrite the one that a login has set meanwhile
        """
        return self._commit.resend(state, self._clock())

    # -- deadlines --

    def _executor(self) -> Callable[[Command[Any]], Any]:
        """Carries commands to the store until one deadline for all of them."""
        deadline = time.monotonic() + self.store.timeout

        def execute(command: Command[Any]) -> Any:
            if time.monotonic() >= deadline:
                raise DeadlineExceeded(f"no answer within {self.store.timeout} s")
            return self.store.execute(command, deadline)

        return execute

    def _aexecutor(self) -> Callable[[Command[Any]], Awaitable[Any]]:
        deadline = time.monotonic() + self.store.timeout

        def execute(command: Command[Any]) -> Awaitable[Any]:
            if time.monotonic() >= deadline:
                raise DeadlineExceeded(f"no answer within {self.store.timeout} s")
            return self.store.aexecute(command, deadline)

        return execute

    # -- failures --

    def _load_failed(self, state: State, error: StoreError) -> None:
        """Remember it: whatever reads the session later must not wait a deadline each time."""
        self._log(error)
        state.failure = error
        if self._serves_anonymous(error) and not state.destroyed:
            state.status = Status.UNAVAILABLE
            state.report("unavailable")
            return
        raise error

    def _save_failed(self, state: State, error: StoreError) -> None:
        """An ordinary write may be dropped where the site prefers pages; a login, a logout or a
        write of unknown outcome is always an error."""
        self._log(error)
        if state.destroyed or state.changes_hands or not self._serves_anonymous(error):
            raise error
        state.status = Status.UNAVAILABLE
        state.failure = error
        state.settled()
        state.report("write_dropped")

    def _serves_anonymous(self, error: StoreError) -> bool:
        return self.config.on_unavailable == "anonymous" and isinstance(error, StoreUnavailable)

    def _log(self, error: StoreError) -> None:
        if isinstance(error, StoreRefused):
            if not self._refusal_logged:
                logger.error("the session store refuses us: %s", error)
            self._refusal_logged = True
        else:
            logger.warning("session store: %s: %s", type(error).__name__, error)

    def _is_worth_a_line(self) -> bool:
        """Without a replica it is reported for every write; the log needs it now and then."""
        now = time.monotonic()
        if now < self._quiet_until:
            return False
        self._quiet_until = now + QUIET_SECONDS
        return True

    def _report(self, state: State) -> None:
        reports, state.reports = state.reports, []
        for what, handle in reports:
            if what != NOT_REPLICATED or self._is_worth_a_line():
                logger.warning("session %s: %s", handle, what)
            if self._on_report is not None:
                self._on_report(what, handle)
