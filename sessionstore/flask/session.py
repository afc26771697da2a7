"""``flask.session``: the core's :class:`~sessionstore.Session` with what Flask's own offers."""

from __future__ import annotations

from typing import Final

from flask import Response
from flask.sessions import SessionMixin

from sessionstore.core.cookies import Cookie
from sessionstore.core.session import Session
from sessionstore.core.state import Lifetime, State, Status
from sessionstore.flask.settings import Settings

PERMANENT: Final = "_permanent"
FRESH: Final = "_fresh"
"""Flask-Login: whether the user has given a password in this session."""


class FlaskSession(Session, SessionMixin):
    """One request's session. It loads itself when it is first read, also outside a context.

    :param settings: of the request; set by the interface
    """

    settings: Settings

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.outcome: Cookie | None = None
        """What became of the cookie so far."""
        self.written_to: Response | None = None
        """The response that tells of it. An error later in the request may begin another."""
        self.failed = False
        """Whether a commit failed: then no other is tried."""
        self.late = False
        """Whether the response's headers are finished."""
        self._was_permanent = False

    def _fill(self) -> None:
        super()._fill()
        # It refers to the state: what was read would stay in memory until a garbage collection.
        self.state.loader = None
        self._was_permanent = bool(dict.get(self, PERMANENT))
        if self.late:
            self.finish_headers()

    # -- Flask's own --

    @property
    def permanent(self) -> bool:
        """Whether the session outlives the browser: it ends ``PERMANENT_SESSION_LIFETIME`` after
        the last activity. Kept under the name ``_permanent``, as by Flask.

        Saying again what it is already is no write: applications do so in every request.
        """
        return bool(self.get(PERMANENT, False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        if bool(value) != self.permanent:
            self[PERMANENT] = bool(value)
        elif value:
            self.state.assigned.add(PERMANENT)

    @property
    def new(self) -> bool:  # type: ignore[override]  # a constant False in Flask
        """Whether nothing is stored for it yet."""
        return self.is_new

    # -- after the headers --

    def finish_headers(self) -> None:
        """No cookie can be sent from now on.

        A first write to a new session is not refused, as Flask does not refuse it; that it was
        in vain is logged when the response closes. A login or a rotation is refused.
        """
        self.late = True
        self.state.headers_sent = self.state.status is not Status.NEW

    def login(self, user_id: object) -> None:
        """Make it this user's; see :meth:`sessionstore.Session.login`."""
        self._read()
        self.state.headers_sent = self.late
        super().login(user_id)

    def rotate(self) -> None:
        """Give it a new secret at commit; see :meth:`sessionstore.Session.rotate`."""
        self._read()
        self.state.headers_sent = self.late
        super().rotate()

    # -- for the interface --

    @property
    def asks_for_refresh(self) -> bool:
        """Whether it is permanent and the application has just said so again."""
        return PERMANENT in self.state.assigned and bool(dict.get(self, PERMANENT))

    @property
    def is_only_permanent(self) -> bool:
        """Whether being permanent is all that is known of it: no reason to begin a session."""
        state = self.state
        names = dict.keys(self)
        return state.status is Status.NEW and state.login is None and names <= {PERMANENT}

    @property
    def signs_out(self) -> bool:
        """Whether this request meant to end the session or its login."""
        state, name = self.state, self.settings.manager.config.subject_key
        if state.destroyed:
            return True
        if state.record is None or state.record.subject is None or state.login is not None:
            return False
        return state.cleared or (name in state.baseline and not dict.get(self, name))

    def tell_core(self) -> None:
        """Translate what Flask and Flask-Login keep among the attributes."""
        state = self.state
        permanent = bool(dict.get(self, PERMANENT))
        record = None if state.destroyed else state.record
        if permanent:
            # What is permanent already keeps the timeouts that it has.
            if record is None or record.browser or not self._was_permanent:
                state.lifetime = Lifetime(self.settings.permanent_lifetime)
        elif self._was_permanent and record is not None:
            idle = self.settings.manager.config.idle_timeout
            state.lifetime = Lifetime(idle, browser=True)
        state.permanent = self._was_permanent = permanent
        user_id = dict.get(self, self.settings.manager.config.subject_key or "")
        if user_id and FRESH in state.assigned and dict.get(self, FRESH) is True:
            # Flask-Login has just authenticated this user, maybe the same one again.
            state.mark_login(user_id)
