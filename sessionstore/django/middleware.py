"""``SessionMiddleware``: Django's own, with what it cannot do.

A failing store is a 503 and a session that ended meanwhile a 409; a response that carries the
cookie is ``no-store``; of duplicate cookies the valid one is found; a superseded token is never
sent again. It is asynchronous where Django is, without a thread hop.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions import middleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sessionstore.answers import answer_to
from sessionstore.core.cookies import Cookie
from sessionstore.core.errors import SessionError, SessionGone, StoreError
from sessionstore.django import headers
from sessionstore.django.configuration import check_configuration
from sessionstore.django.engine import SessionStore
from sessionstore.django.errors import SettingsError


class SessionMiddleware(middleware.SessionMiddleware):
    """In MIDDLEWARE instead of ``django.contrib.sessions.middleware.SessionMiddleware``.

    :raises SettingsError: at start-up, for settings that cannot work
    """

    get_response: Callable[[HttpRequest], Any]

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self._session_class = import_module(settings.SESSION_ENGINE).SessionStore
        if not issubclass(self._session_class, SessionStore):
            raise SettingsError(
                "sessionstore.django.SessionMiddleware needs SESSION_ENGINE = 'sessionstore.django'"
            )
        check_configuration()

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        response = await self.get_response(request)
        return await self.aprocess_response(request, response)

    def process_request(self, request: HttpRequest) -> None:
        """Begin the session: the signature is checked, the store is not asked."""
        request.session = self._session_class.from_cookies(headers.sent_values(request))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The answer to a session operation that failed in a view."""
        answer = answer_to(exception) if isinstance(exception, SessionError) else None
        return None if answer is None else headers.to_response(answer)

    # Django's stubs want its HttpResponse; a streaming one comes here as well.
    def process_response(  # type: ignore[override]
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        session = getattr(request, "session", None)
        if not isinstance(session, SessionStore):  # an app's own, or none
            return super().process_response(request, response)  # type: ignore[arg-type]
        try:
            cookie = session.finish(save=response.status_code < 500)
        except (SessionGone, StoreError) as error:
            return self._fail(request, session, error)
        return self._conclude(request, response, session, cookie)

    async def aprocess_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """:meth:`process_response` for asyncio."""
        session = getattr(request, "session", None)
        if not isinstance(session, SessionStore):
            return super().process_response(request, response)  # type: ignore[arg-type]
        try:
            cookie = await session.afinish(save=response.status_code < 500)
        except (SessionGone, StoreError) as error:
            return self._fail(request, session, error)
        return self._conclude(request, response, session, cookie)

    def _fail(
        self, request: HttpRequest, session: SessionStore, error: SessionError
    ) -> HttpResponseBase:
        response = self.process_exception(request, error)
        assert response is not None  # noqa: S101 (these two kinds always have an answer)
        return self._conclude(request, response, session, session.cookie_after_failure())

    def _conclude(
        self,
        request: HttpRequest,
        response: HttpResponseBase,
        session: SessionStore,
        cookie: Cookie | None,
    ) -> HttpResponseBase:
        if response.status_code == 500 and session.failure is not None:
            # Raised where Django asks no middleware (in another one, in a process_view).
            response = self.process_exception(request, session.failure) or response
        # Not by `request.COOKIES`: it decodes every cookie, which may take long (CVE-2024-7592).
        deletes_nothing = (
            cookie is not None and cookie.value is None and not headers.sent_values(request)
        )
        if cookie is not None and not deletes_nothing:
            headers.write_cookie(response, cookie)
            headers.vary(response)
        elif session.accessed:
            headers.vary(response)
        return response
