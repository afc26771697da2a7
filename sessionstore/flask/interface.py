"""Opens a session from a request, and writes what became of it into the response."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, Request, Response, has_request_context
from flask.globals import request_ctx
from flask.sessions import SessionInterface, SessionMixin

from sessionstore.core.cookies import Cookie, check_settings, find_values
from sessionstore.core.errors import ConfigurationError, SessionError, StoreError
from sessionstore.core.state import Status
from sessionstore.flask import failures, headers
from sessionstore.flask.session import FlaskSession
from sessionstore.flask.settings import SettingsReader
from sessionstore.settings import Managers

logger = logging.getLogger("sessionstore")

_SAME_SITE: Final = ("Lax", "Strict", "None")


class StoreSessionInterface(SessionInterface):
    """``app.session_interface``. To be subclassed like Flask's own; every ``get_cookie_*`` counts.

    :param options: what was given to :class:`~sessionstore.flask.SessionStore` in code
    :param managers: keeps stores and managers
    """

    session_class = FlaskSession

    def __init__(self, options: Mapping[str, Any], managers: Managers) -> None:
        self.settings = SettingsReader(options, managers, self.check_cookie)

    def check_cookie(self, app: Flask) -> None:
        """Refuse settings with which a browser would drop the cookie.

        :raises ConfigurationError: saying what to change
        """
        config = app.config  # not the get_cookie_* methods: those may ask for the request
        same_site = config["SESSION_COOKIE_SAMESITE"] or None
        if same_site is not None and same_site.title() not in _SAME_SITE:
            raise ConfigurationError(
                f"SESSION_COOKIE_SAMESITE={same_site!r}: use 'Lax', 'Strict' or 'None'"
            )
        check_settings(
            config["SESSION_COOKIE_NAME"],
            # Werkzeug makes every partitioned cookie a secure one: browsers want both.
            secure=config["SESSION_COOKIE_SECURE"] or config["SESSION_COOKIE_PARTITIONED"],
            path=config["SESSION_COOKIE_PATH"] or config["APPLICATION_ROOT"],
            domain=config["SESSION_COOKIE_DOMAIN"],
            same_site=same_site,
        )

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """``SESSION_COOKIE_SAMESITE``, and ``"Lax"`` where that is None; ``""`` sends none."""
        value = super().get_cookie_samesite(app)
        return "Lax" if value is None else value or None

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        """Whether the cookie is sent although nothing about it has changed."""
        return session.permanent and bool(app.config["SESSION_REFRESH_EACH_REQUEST"])

    # -- a request --

    def open_session(self, app: Flask, request: Request) -> FlaskSession | None:
        """The request's session, without I/O; None (Flask's null session) without a secret."""
        settings = self.settings.read(app)
        if settings is None:
            return None
        # Werkzeug knows only one of several cookies of a name, and decodes escapes.
        header = request.environ.get("HTTP_COOKIE", "")
        values = find_values(header, self.get_cookie_name(app))
        session = settings.manager.begin(values, self.session_class)
        session.settings = settings
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Commit the session and set the headers. A store error turns the response into a 503."""
        if not isinstance(session, FlaskSession):
            raise TypeError(f"save_session() got a {type(session).__name__} it did not open")
        before, session.written_to = session.written_to, response
        outcome = session.outcome
        if not session.failed:
            session.late = session.state.headers_sent = False
            try:
                session.outcome = self._commit(app, session) or outcome
            except SessionError as error:
                session.failed = True
                session.outcome = Cookie(None) if session.signs_out else None
                if not _is_served(session):
                    raise
                failures.turn_into_answer(app, response, error)
            self._commit_when_closed(session, response)
        if before is not response or session.outcome != outcome:
            self._set_headers(app, session, response)

    def _commit(self, app: Flask, session: FlaskSession) -> Cookie | None:
        refresh = self._refreshes(app, session)
        content = session.content()
        if content is None:
            return None
        session.tell_core()
        if session.is_only_permanent:
            return None
        state, settings = session.state, session.settings
        touch = refresh if state.permanent else settings.touch_on_read
        touch = touch and state.status is Status.LOADED and not state.modified
        cookie = settings.manager.save(state, content, force=touch)
        if cookie is None and refresh:
            return settings.manager.resend(state)
        return cookie

    def _refreshes(self, app: Flask, session: FlaskSession) -> bool:
        """Whether the cookie is to be sent again. Only a permanent session is loaded for that."""
        state = session.state
        if session.content() is None:
            if not (state.permanent and session.settings.refresh):
                return False
            try:
                state.ensure_loaded()
            except StoreError:
                return False  # nobody needed it: as little a reason to fail as a touch is
        return session.asks_for_refresh or self.should_set_cookie(app, session)

    # -- a response that is streamed --

    def _commit_when_closed(self, session: FlaskSession, response: Response) -> None:
        """A generator may go on using the session: what it writes is committed at its end."""
        session.finish_headers()
        if response.is_streamed:
            response.call_on_close(lambda: self._commit_late(session))

    def _commit_late(self, session: FlaskSession) -> None:
        state, session.written_to = session.state, None
        content = session.content()
        if session.failed or content is None:
            return
        if state.status is Status.NEW:
            if state.dirty and not session.is_only_permanent:
                logger.warning("a new session was begun after its cookie could be sent: dropped")
            return
        try:
            session.tell_core()
            session.settings.manager.save(state, content)
        except SessionError as error:
            session.failed = True
            logger.error("session changes made while streaming were dropped: %s", error)

    # -- headers --

    def _set_headers(self, app: Flask, session: FlaskSession, response: Response) -> None:
        cookie = session.outcome
        if session.accessed or cookie is not None:
            headers.vary(response)
        if cookie is not None:
            attributes = headers.CookieAttributes(
                domain=self.get_cookie_domain(app),
                path=self.get_cookie_path(app),
                secure=self.get_cookie_secure(app),
                httponly=self.get_cookie_httponly(app),
                samesite=self.get_cookie_samesite(app),
                partitioned=self.get_cookie_partitioned(app),
            )
            headers.write_cookie(response, self.get_cookie_name(app), cookie, attributes)


def _is_served(session: FlaskSession) -> bool:
    """Whether somebody gets the response: a test's ``session_transaction`` throws it away."""
    return has_request_context() and request_ctx.session is session
