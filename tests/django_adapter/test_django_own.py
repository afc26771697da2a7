"""Django's own tests, against our engine and both middlewares; and where ours differs, by name."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangoMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import SimpleTestCase, override_settings

from sessionstore.django import SessionMiddleware, SessionStore
from tests.django_adapter import django_own_tests


class TestEngine(django_own_tests.SessionTestsMixin, SimpleTestCase):
    backend = SessionStore

    def test_create_and_save(self) -> None:
        """Of Django's CacheSessionTests, which has it for one backend only."""
        session = SessionStore()
        session.create()
        session.save()
        assert session.exists(session.session_key)

    async def test_create_and_save_async(self) -> None:
        session = SessionStore()
        await session.acreate()
        await session.asave()
        assert await session.aexists(session.session_key)

    def test_load_overlong_key(self) -> None:
        """Of CacheSessionTests as well."""
        self.session._session_key = "abc" * 400
        assert self.session.load() == {}

    def test_reading_again_after_the_cache_is_dropped(self) -> None:
        """Of DatabaseSessionTests: `test_sessionmanager_save`."""
        self.session["y"] = 1
        self.session.save()
        other = SessionStore(self.session.session_key)
        other["y"] = 2
        other.save()
        del self.session._session_cache
        assert self.session["y"] == 2


class Middleware(django_own_tests.SessionMiddlewareTests):
    backend = SessionStore

    @staticmethod
    def stored(key: str) -> dict[str, Any]:
        return SessionStore(key).load()


class TestUnderDjangosMiddleware(Middleware, SimpleTestCase):
    middleware = DjangoMiddleware


class TestUnderOurMiddleware(Middleware, SimpleTestCase):
    middleware = SessionMiddleware

    def delete_on_end(self) -> str:
        """Log out with a valid cookie; Django's tests do so with a junk one."""
        session = SessionStore()
        session.save()

        def view(request: HttpRequest) -> HttpResponse:
            request.session.flush()
            return HttpResponse()

        request = self.request_factory.get("/")
        request.COOKIES[settings.SESSION_COOKIE_NAME] = str(session.session_key)
        response = SessionMiddleware(view)(request)
        assert response.headers["Vary"] == "Cookie"
        return str(response.cookies[settings.SESSION_COOKIE_NAME])

    def test_session_delete_on_end(self) -> None:
        """Differs: a cookie that is not of a session is left alone, whatever the view does."""
        with pytest.raises(KeyError):
            super().test_session_delete_on_end()
        expected = 'Set-Cookie: sessionid=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0;'
        assert self.delete_on_end() == f"{expected} Path=/; SameSite=Lax"

    @override_settings(SESSION_COOKIE_DOMAIN=".example.local", SESSION_COOKIE_PATH="/example/")
    def test_session_delete_on_end_with_custom_domain_and_path(self) -> None:
        """Differs in the same way."""
        with pytest.raises(KeyError):
            super().test_session_delete_on_end_with_custom_domain_and_path()
        expected = 'Set-Cookie: sessionid=""; Domain=.example.local; expires=Thu, 01 Jan 1970'
        assert self.delete_on_end() == (
            f"{expected} 00:00:00 GMT; Max-Age=0; Path=/example/; SameSite=Lax"
        )

    def test_session_update_error_redirect(self) -> None:
        """Differs: 409 by our middleware, where Django's raises SessionInterrupted for a 400."""

        def view(request: HttpRequest) -> HttpResponse:
            request.session = SessionStore()
            request.session.save(must_create=True)
            request.session.delete()
            return HttpResponse()

        assert SessionMiddleware(view)(self.request_factory.get("/")).status_code == 409

    def test_save_every_request_with_non_empty_session_renews_session_cookie(self) -> None:
        """Differs: not on every request, but whenever a tenth of the idle timeout has passed."""
        with pytest.raises(AssertionError, match="'sessionid' not found"):
            super().test_save_every_request_with_non_empty_session_renews_session_cookie()
