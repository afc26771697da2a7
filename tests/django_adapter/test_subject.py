"""sessionstore.django.auth: request.user for logins that were made elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user_model, login, logout
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from sessionstore import SessionConfig, SessionManager
from sessionstore.django import SessionStore
from sessionstore.django.auth import SubjectBackend
from tests.django_adapter.conftest import OURS, RecordingStore
from tests.django_adapter.test_auth import names
from tests.support.django_project import SECRET

BACKEND = "sessionstore.django.auth.SubjectBackend"
MODEL = "django.contrib.auth.backends.ModelBackend"
MIDDLEWARE = "sessionstore.django.auth.SubjectMiddleware"

pytestmark = pytest.mark.usefixtures("database")

Who = Callable[[str | None], str]


class ByName(SubjectBackend):
    field = "username"


def who_view(request: HttpRequest) -> HttpResponse:
    assert request.user is request.user
    return HttpResponse(request.user.get_username() or "nobody")


async def async_who_view(request: Any) -> HttpResponse:
    assert await request.auser() is await request.auser()
    return HttpResponse((await request.auser()).get_username() or "nobody")


def login_view(request: HttpRequest) -> HttpResponse:
    login(request, request.user)  # type: ignore[arg-type]
    return HttpResponse()


def logout_view(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


URLS = (
    path("who", who_view),
    path("async/who", async_who_view),
    path("login", login_view),
    path("logout", logout_view),
)


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    with override_settings(
        ROOT_URLCONF=URLS, MIDDLEWARE=[OURS, MIDDLEWARE], AUTHENTICATION_BACKENDS=[BACKEND, MODEL]
    ):
        yield
    connections.close_all()


@pytest.fixture
def user() -> Any:
    return get_user_model().objects.create_user(next(names), password="pw")


def client_with(client: Any, key: str | None) -> Any:
    if key is not None:
        client.cookies["sessionid"] = key
    return client


def sync_who(key: str | None) -> str:
    return str(client_with(Client(), key).get("/who").content.decode())


def async_who(key: str | None) -> str:
    async def ask() -> str:
        try:
            answer = await client_with(AsyncClient(), key).get("/async/who")
            return str(answer.content.decode())
        finally:
            await asyncio.to_thread(connections.close_all)

    return asyncio.run(ask())


@pytest.fixture(params=[sync_who, async_who], ids=["wsgi", "asgi"])
def who(request: pytest.FixtureRequest) -> Who:
    chosen: Who = request.param
    return chosen


def login_elsewhere(store: RecordingStore, subject: object) -> str:
    """A session that another framework has logged in."""
    manager = SessionManager(store, SessionConfig(secret_key=SECRET))
    session = manager.open(None)
    session.login(subject)
    cookie = manager.commit(session)
    assert cookie is not None
    assert cookie.value is not None
    return cookie.value


def test_a_login_made_elsewhere(store: RecordingStore, user: Any, who: Who) -> None:
    key = login_elsewhere(store, user.pk)
    with store.counted() as verbs:
        assert who(key) == user.username
    assert verbs == ["load"]


@pytest.mark.parametrize("subject", ["4711", "no number", "9" * 40, "-1"])
def test_a_subject_that_is_no_user_here(store: RecordingStore, who: Who, subject: str) -> None:
    assert who(login_elsewhere(store, subject)) == "nobody"


def test_nobody(store: RecordingStore, who: Who) -> None:
    assert who(None) == who("x" * 111) == "nobody"
    assert store.verbs == []


def test_an_inactive_user_is_nobody(store: RecordingStore, user: Any, who: Who) -> None:
    user.is_active = False
    user.save()
    assert who(login_elsewhere(store, user.pk)) == "nobody"


def test_a_field_of_ones_own(store: RecordingStore, user: Any, who: Who) -> None:
    with override_settings(AUTHENTICATION_BACKENDS=[MODEL, f"{__name__}.ByName"]):
        assert who(login_elsewhere(store, user.username)) == user.username
        assert who(login_elsewhere(store, user.pk)) == "nobody"


def test_what_contrib_auth_has_refused_stays_refused(
    store: RecordingStore, user: Any, who: Who
) -> None:
    client = Client()
    client.force_login(user, MODEL)
    key = client.cookies["sessionid"].value
    assert who(key) == user.username
    with override_settings(
        AUTHENTICATION_BACKENDS=[BACKEND]
    ):  # its backend is not allowed any more
        assert who(key) == "nobody"
    user.set_password("another")
    user.save()
    assert who(key) == "nobody"
    assert not SessionStore().exists(key)


def test_from_there_to_a_login_of_djangos_own(store: RecordingStore, user: Any) -> None:
    client = client_with(Client(), key := login_elsewhere(store, user.pk))
    client.get("/login")
    session = client.session
    assert session.handle == key[:16]
    assert session["_auth_user_id"] == str(user.pk)
    assert session["_auth_user_backend"] == BACKEND
    assert sync_who(session.session_key) == user.username
    assert sync_who(key) == "nobody"


def test_a_logout_here_is_a_logout_everywhere(store: RecordingStore, user: Any) -> None:
    key = login_elsewhere(store, user.pk)
    client_with(Client(), key).get("/logout")
    assert SessionManager(store, SessionConfig(secret_key=SECRET)).open(key).subject is None


def test_a_subject_is_no_credential(user: Any) -> None:
    assert authenticate(None, subject=str(user.pk)) is None
    assert authenticate(None, username=user.username, password="wrong") is None
    assert authenticate(None, username=user.username, password="pw") == user
    assert asyncio.run(SubjectBackend().aauthenticate(None, subject=str(user.pk))) is None


def test_permissions_are_djangos(user: Any) -> None:
    user.is_superuser = True
    assert SubjectBackend().has_perm(user, "auth.add_user")


def test_the_middleware_needs_the_backend() -> None:
    with (
        override_settings(AUTHENTICATION_BACKENDS=[MODEL]),
        pytest.raises(ImproperlyConfigured, match="SubjectBackend"),
    ):
        WSGIHandler()
