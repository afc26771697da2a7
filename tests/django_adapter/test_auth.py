"""django.contrib.auth, messages and the test client, under both middlewares."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth import (
    aget_user,
    alogin,
    alogout,
    aupdate_session_auth_hash,
    get_user,
    get_user_model,
    login,
    logout,
    update_session_auth_hash,
)
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from sessionstore.django import SessionStore
from tests.django_adapter.conftest import OURS, STOCK, RecordingStore
from tests.support.django_project import SECRET

AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
BACKEND = "django.contrib.auth.backends.ModelBackend"
NEW_SECRET = "another secret key for tests, of more than 32 bytes"

names = (f"user-{number}" for number in itertools.count())

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True, params=[OURS, STOCK], ids=["ours", "stock"])
def middleware(request: pytest.FixtureRequest) -> Iterator[str]:
    chosen: str = request.param
    with override_settings(ROOT_URLCONF=URLS, MIDDLEWARE=[chosen, AUTH, MESSAGES]):
        yield chosen
    connections.close_all()


@pytest.fixture
def user() -> Any:
    return get_user_model().objects.create_user(next(names), password="pw")


@pytest.fixture
def other() -> Any:
    return get_user_model().objects.create_user(next(names), password="pw")


def find(request: HttpRequest) -> Any:
    return get_user_model().objects.get(pk=request.GET["user"])


def who_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username() or "nobody")


def login_view(request: HttpRequest) -> HttpResponse:
    login(request, find(request), BACKEND)
    return HttpResponse(str(request.session.handle))


def logout_view(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def password_view(request: HttpRequest) -> HttpResponse:
    request.user.set_password("another")
    request.user.save()
    update_session_auth_hash(request, request.user)  # type: ignore[arg-type]
    return HttpResponse()


def set_view(request: HttpRequest) -> HttpResponse:
    request.session.update(request.GET.dict())
    return HttpResponse()


def message_view(request: HttpRequest) -> HttpResponse:
    shown = [str(message) for message in messages.get_messages(request)]
    if "say" in request.GET:
        messages.info(request, request.GET["say"])
    return HttpResponse(", ".join(shown))


async def async_who_view(request: Any) -> HttpResponse:
    return HttpResponse((await request.auser()).get_username() or "nobody")


async def async_login_view(request: HttpRequest) -> HttpResponse:
    user = await get_user_model().objects.aget(pk=request.GET["user"])
    await alogin(request, user, BACKEND)
    return HttpResponse()


async def async_logout_view(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse()


async def async_password_view(request: Any) -> HttpResponse:
    request.user = await request.auser()
    request.user.set_password("another")
    await request.user.asave()
    await aupdate_session_auth_hash(request, request.user)
    return HttpResponse()


URLS = (
    path("who", who_view),
    path("login", login_view),
    path("logout", logout_view),
    path("password", password_view),
    path("set", set_view),
    path("messages", message_view),
    path("async/who", async_who_view),
    path("async/login", async_login_view),
    path("async/logout", async_logout_view),
    path("async/password", async_password_view),
)


class AsyncBrowser:
    """`AsyncClient`, called from sync code."""

    def __init__(self) -> None:
        self.client = AsyncClient()

    @property
    def cookies(self) -> Any:
        return self.client.cookies

    def get(self, where: str, *arguments: Any) -> Any:
        return asyncio.run(self._get(f"/async{where}", *arguments))

    async def _get(self, *arguments: Any) -> Any:
        try:
            return await self.client.get(*arguments)
        finally:
            await asyncio.to_thread(connections.close_all)


Browse = Callable[[], Any]


@pytest.fixture(params=[Client, AsyncBrowser], ids=["wsgi", "asgi"])
def browse(request: pytest.FixtureRequest) -> Browse:
    maker: Browse = request.param
    return maker


def key_of(browser: Any) -> str:
    return str(browser.cookies["sessionid"].value)


def put(browser: Any, **values: Any) -> None:
    """A session with these values, for this browser."""
    key = key_of(browser) if browser.cookies.get("sessionid") else None
    session = SessionStore(key)
    session.update(values)
    session.save()
    browser.cookies["sessionid"] = session.session_key


def who(browser: Any) -> str:
    return str(browser.get("/who").content.decode())


def test_login_of_an_anonymous_visitor(browse: Browse, store: RecordingStore, user: Any) -> None:
    browser = browse()
    put(browser, cart=[1])
    before = key_of(browser)
    with store.counted() as verbs:
        browser.get("/login", {"user": user.pk})
    assert verbs == ["load", "replace", "replace"]
    assert who(browser) == user.username
    session = SessionStore(key_of(browser))
    assert session.subject == str(user.pk)
    assert session["cart"] == [1]
    assert session.handle == before[:16]
    thief = browse()
    thief.cookies["sessionid"] = before
    assert who(thief) == "nobody"


def test_login_without_a_session(browse: Browse, store: RecordingStore, user: Any) -> None:
    browser = browse()
    with store.counted() as verbs:
        browser.get("/login", {"user": user.pk})
    assert verbs == ["create", "replace"]
    assert who(browser) == user.username


def test_login_again_of_the_same_user(browse: Browse, user: Any) -> None:
    browser = browse()
    browser.get("/login", {"user": user.pk})
    put(browser, cart=[1])
    before, authenticated = key_of(browser), SessionStore(key_of(browser)).authenticated
    browser.get("/login", {"user": user.pk})
    assert who(browser) == user.username
    after = SessionStore(key_of(browser))
    assert after["cart"] == [1]
    # Authenticating again is a login: contrib.auth itself would leave the token as it is.
    assert key_of(browser) != before
    assert not SessionStore().exists(before)
    assert SessionStore(before).get("cart") is None
    assert after.authenticated is not None and authenticated is not None
    assert after.created == after.authenticated > authenticated


def test_login_of_another_user_begins_another_session(
    browse: Browse, store: RecordingStore, user: Any, other: Any
) -> None:
    browser = browse()
    browser.get("/login", {"user": user.pk})
    put(browser, secret=1)
    before = key_of(browser)
    with store.counted() as verbs:
        browser.get("/login", {"user": other.pk})
    assert verbs == ["load", "delete", "create"]
    assert who(browser) == other.username
    assert "secret" not in SessionStore(key_of(browser))
    assert not SessionStore().exists(before)


def test_logout(browse: Browse, store: RecordingStore, user: Any) -> None:
    browser = browse()
    browser.get("/login", {"user": user.pk})
    key = key_of(browser)
    with store.counted() as verbs:
        answer = browser.get("/logout")
    assert verbs == ["load", "delete"]
    assert answer.cookies["sessionid"]["max-age"] == 0
    assert not SessionStore().exists(key)
    assert who(browser) == "nobody"


def test_logout_without_a_session_writes_nothing(browse: Browse, store: RecordingStore) -> None:
    browse().get("/logout")
    assert store.verbs == []


def test_a_login_with_a_superseded_cookie_begins_a_session_of_its_own(
    browse: Browse, user: Any, other: Any
) -> None:
    """A double click: each answer's cookie works, and the first login is not touched."""
    first, second = browse(), browse()
    put(first, cart=[1])
    second.cookies["sessionid"] = key_of(first)
    first.get("/login", {"user": user.pk})
    second.get("/login", {"user": other.pk})
    assert who(first) == user.username
    assert who(second) == other.username
    assert "cart" not in SessionStore(key_of(second))


def test_a_changed_password_keeps_this_session_and_ends_the_others(
    browse: Browse, user: Any
) -> None:
    here, there = browse(), browse()
    here.get("/login", {"user": user.pk})
    there.get("/login", {"user": user.pk})
    before = key_of(here)
    here.get("/password")
    assert key_of(here) != before
    assert who(here) == user.username
    elsewhere = key_of(there)
    assert who(there) == "nobody"
    assert not SessionStore().exists(elsewhere)


def test_parallel_requests_while_the_secret_key_is_rotated(browse: Browse, user: Any) -> None:
    """contrib.auth calls `cycle_key` in plain GETs then: nobody is logged out by that."""
    browser, tabs = browse(), [browse() for _ in range(3)]
    browser.get("/login", {"user": user.pk})
    old = key_of(browser)
    with override_settings(SECRET_KEY=NEW_SECRET, SECRET_KEY_FALLBACKS=[SECRET]):
        for tab in (browser, *tabs):
            tab.cookies["sessionid"] = old
            assert who(tab) == user.username
        assert key_of(browser) != old
        assert who(browser) == user.username
    with override_settings(SECRET_KEY=NEW_SECRET):
        assert who(browser) == user.username


def test_servers_of_two_deployments_do_not_rotate_each_others_tokens(
    browse: Browse, user: Any
) -> None:
    """To each of them the other's `_auth_user_hash` is one under a fallback.

    A token that two rotations have superseded reads nothing, so a request that is still under way
    with it would be taken for logged out.
    """
    browser = browse()
    browser.get("/login", {"user": user.pk})
    slow = browse()
    slow.cookies["sessionid"] = key_of(browser)
    for _ in range(2):
        with override_settings(SECRET_KEY=NEW_SECRET, SECRET_KEY_FALLBACKS=[SECRET]):
            assert who(browser) == user.username
        with override_settings(SECRET_KEY=SECRET, SECRET_KEY_FALLBACKS=[NEW_SECRET]):
            assert who(browser) == user.username
    with override_settings(SECRET_KEY_FALLBACKS=[NEW_SECRET]):
        assert who(slow) == user.username


@pytest.mark.parametrize(
    ("fallbacks", "name", "tokens"),
    [([], "cycle_key", 4), ([], "rotate", 4), ([SECRET], "rotate", 4), ([SECRET], "cycle_key", 2)],
)
def test_only_then_and_only_cycle_key_is_throttled(
    fallbacks: list[str], name: str, tokens: int, user: Any
) -> None:
    client = Client()
    client.get("/login", {"user": user.pk})
    keys = {key_of(client)}
    with override_settings(SECRET_KEY_FALLBACKS=fallbacks):
        for how in (name, f"a{name}", name):
            session = SessionStore(key_of(client))
            result = getattr(session, how)()
            if how.startswith("a"):
                asyncio.run(result)
            keys.add(str(session.session_key))
            client.cookies["sessionid"] = session.session_key
    assert len(keys) == tokens


def test_a_request_that_loses_the_race_to_rotate_sends_no_cookie(
    middleware: str, user: Any
) -> None:
    browser = Client()
    browser.get("/login", {"user": user.pk})
    with override_settings(SECRET_KEY=NEW_SECRET, SECRET_KEY_FALLBACKS=[SECRET]):
        late = HttpRequest()
        late.session = SessionStore(key_of(browser))
        assert late.session["_auth_user_id"] == str(user.pk)
        assert who(browser) == user.username  # wins, between the other's load and its cycle_key
        assert get_user(late) == user
        assert late.session.modified
        assert late.session.finish(save=True) is None  # type: ignore[attr-defined]
        assert who(browser) == user.username


def test_messages_are_kept_for_the_next_request() -> None:
    browser = Client()
    browser.get("/messages", {"say": "hello"})
    browser.get("/set", {"a": "1"})
    assert browser.get("/messages").content == b"hello"
    assert browser.get("/messages").content == b""


# -- the test client --


def test_the_clients_session(store: RecordingStore) -> None:
    client = Client()
    session = client.session
    session["a"] = "1"
    session.save()
    assert client.session["a"] == "1"
    client.get("/set", {"b": "2"})
    assert dict(client.session.items()) == {"a": "1", "b": "2"}


def test_the_clients_login_and_logout(user: Any) -> None:
    client = Client()
    assert client.login(username=user.username, password="pw")
    assert who(client) == user.username
    key = key_of(client)
    client.logout()
    assert not SessionStore().exists(key)
    assert who(client) == "nobody"
    client.force_login(user)
    assert who(client) == user.username


def test_the_async_clients_login_and_logout(user: Any) -> None:
    async def everything() -> None:
        client = AsyncClient()
        session = await client.asession()
        await session.aset("a", "1")
        await session.asave()
        assert await (await client.asession()).aget("a") == "1"
        await client.aforce_login(user)
        assert (await client.get("/async/who")).content.decode() == user.username
        key = key_of(client)
        request = HttpRequest()
        request.session = await client.asession()
        assert await aget_user(request) == user
        await client.alogout()
        assert not await SessionStore().aexists(key)
        await asyncio.to_thread(connections.close_all)

    asyncio.run(everything())
