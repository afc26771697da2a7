"""Commit: what becomes of a session at the end of a request.

Which of the flows it takes is decided here: ``writing.py`` creates and replaces, ``ending.py``
deletes, ``rotation.py`` computes the next record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sessionstore.core import expiry
from sessionstore.core.config import SessionConfig
from sessionstore.core.cookies import Cookie
from sessionstore.core.ending import Ending
from sessionstore.core.errors import SessionGone, StoreError
from sessionstore.core.flow import Flow
from sessionstore.core.intent import Entropy, Request, read_intent
from sessionstore.core.opening import Opening
from sessionstore.core.sealing import Sealer
from sessionstore.core.state import State, Status
from sessionstore.core.token import TokenSigner
from sessionstore.core.verbs import Verbs
from sessionstore.core.writing import Lost, Writing

TOUCH_FAILED = "touch_failed"


class Commit:
    """The flow that stores what a request did."""

    def __init__(
        self,
        verbs: Verbs,
        config: SessionConfig,
        signer: TokenSigner,
        sealer: Sealer,
        opening: Opening,
    ) -> None:
        self._config = config
        self._ending = Ending(verbs, opening, sealer)
        self._writing = Writing(verbs, config, signer, sealer, self._ending)

    def commit(
        self,
        state: State,
        values: Mapping[str, Any],
        now: float,
        entropy: Entropy,
        *,
        force: bool = False,
    ) -> Flow[Cookie | None]:
        """Store what was asked for, if anything.

        Only where it is not :meth:`is_idle`.

        :param values: the application's attributes
        :param force: store a new session even if it is empty; touch a loaded one even unread
        :return: what becomes of the cookie; None: send nothing
        :raises SessionGone: it was destroyed or changed hands meanwhile; the writes are dropped
        """
        if self._is_emptied(state, values):
            state.destroyed = True  # also where it fails, as every failed logout
        if state.failure is not None and (state.destroyed or state.cleared):
            state.changes_hands = True  # or it would be dropped where the site prefers pages
            raise state.failure  # a logout that cannot be carried out is never silent
        ended = None
        if state.destroyed:
            ended = yield from self._ending.destroy(state, now)
            if not values and state.login is None and not force:
                state.settled()
                return ended
        if state.status is Status.UNLOADED:
            return ended
        intent = read_intent(state, values, self._config)
        state.changes_hands = intent.changes_hands
        if state.status is Status.UNAVAILABLE:
            if state.failure is not None and intent.changes_hands:
                raise state.failure  # nor is a login
            return ended
        flow = self._wanted(Request(state, values, intent, now, entropy), force)
        cookie = None if flow is None else (yield from flow)
        state.settled()
        return cookie or ended

    def is_idle(
        self, state: State, values: Mapping[str, Any], now: float, *, force: bool = False
    ) -> bool:
        """Whether :meth:`commit` would find nothing to do. Most requests write nothing, and so
        they need not pay for what a write needs: it takes a third of the time.

        :raises UnstorableValue: naming the path of a value that a session cannot hold
        """
        if state.asks_something or state.failure is not None:
            return False
        if state.status is Status.LOADED:
            return not self._touch_is_due(state, now, force) and state.is_unchanged(values)
        return state.status is Status.NEW and not force and state.is_unchanged(values)

    def resend(self, state: State, now: float) -> Cookie | None:
        """See :meth:`~sessionstore.manager.SessionManager.resend`."""
        return self._writing.resend(state, now)

    def _is_emptied(self, state: State, values: Mapping[str, Any]) -> bool:
        return state.cleared and not values and state.login is None and not self._config.keep_empty

    def _wanted(self, request: Request, force: bool) -> Flow[Cookie | None] | None:
        """The flow that stores it, or None where there is nothing to store."""
        state, intent = request.state, request.intent
        if state.status is Status.NEW:
            if force or intent.delta.changed or intent.login is not None:
                return self._writing.create(request)
            return None
        if state.status is Status.LOADED:
            return (self._write if intent.writes else self._touch)(request)
        # Void: only a login goes on, in a session of its own.
        if intent.login is not None:
            return self._writing.create(request)
        if intent.writes:
            raise _gone(request, "its token was superseded, or its record cannot be read here")
        return None

    def _touch_is_due(self, state: State, now: float, force: bool) -> bool:
        found = state.record
        if found is None or not (force or (state.accessed and self._config.touch_on_read)):
            return False
        interval = self._config.touch_interval_for(found.idle)
        return expiry.touch_due(found.touched, interval, now)

    def _touch(self, request: Request) -> Flow[Cookie | None]:
        """Record that the session is in use. Failing to is no reason to fail a read."""
        try:
            result = yield from self._writing.replace(request)
        except StoreError:
            request.state.report(TOUCH_FAILED)
            return None
        return None if isinstance(result, Lost) else result

    def _write(self, request: Request) -> Flow[Cookie | None]:
        state, intent = request.state, request.intent
        if state.proven or not intent.changes_hands:
            result = yield from self._writing.replace(request)
        else:
            result = Lost.UNPROVEN
        if not isinstance(result, Lost):
            return result
        ended = None
        if result is Lost.UNPROVEN and intent.leaves:
            # Who has only the previous secret may not rotate, but may well end the session.
            ended = yield from self._ending.destroy(state, request.now)
        if intent.login is not None or (ended is not None and intent.delta.changed):
            return (yield from self._writing.create(request))
        if ended is not None:
            state.leave_behind(request.values)
            return ended
        raise _gone(request, "it was destroyed, or somebody logged in or out of it, meanwhile")


def _gone(request: Request, why: str) -> SessionGone:
    """The session is void for the rest of this request, and its writes are dropped."""
    state = request.state
    error = SessionGone("?" if state.token is None else state.token.handle, why)
    state.status = Status.VOID
    state.record = None
    # A later commit of the same request is to speak of later writes only.
    state.rebase(request.values, request.intent.delta)
    state.settled()
    return error
