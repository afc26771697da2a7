"""``Set-Cookie`` is, but for the value, what Starlette's own middleware sends."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from starlette.middleware.sessions import SessionMiddleware as StarlettesOwn

from sessionstore import ConfigurationError
from sessionstore.asgi import SessionMiddleware
from tests.asgi_adapter.support import KEY, Site, call, scope_of

VARIANTS: list[dict[str, Any]] = [
    {},
    {"session_cookie": "sid"},
    {"max_age": 60},
    {"max_age": None},
    {"max_age": 0},
    {"max_age": -1},
    {"path": "/shop"},
    {"same_site": "strict"},
    {"same_site": "none", "https_only": True},
    {"https_only": True, "domain": "example.org", "partitioned": True},
    {"domain": ""},
]


async def application(scope: Any, receive: Any, send: Any) -> None:
    session = scope["session"]
    if "a" in session:
        session.clear()
    else:
        session["a"] = 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def without_value(header: str | None) -> str:
    assert header is not None
    pair, _, attributes = header.partition(";")
    return pair.partition("=")[0] + ";" + attributes


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
async def test_setting_it(settings: dict[str, Any]) -> None:
    theirs = await call(StarlettesOwn(application, KEY, **settings), scope_of("http", None))
    ours = await Site(application, **settings).get()

    assert without_value(ours.cookie) == without_value(theirs.cookie)


@pytest.mark.parametrize("settings", [s for s in VARIANTS if s.get("max_age", 1) != 0], ids=str)
async def test_clearing_it(settings: dict[str, Any]) -> None:
    if settings.get("max_age") == -1:
        settings = {}
    name = settings.get("session_cookie", "session")
    own, site = StarlettesOwn(application, KEY, **settings), Site(application, **settings)

    theirs = await call(own, scope_of("http", None))
    theirs = await call(own, scope_of("http", [f"{name}={theirs.token}".encode()]))
    ours = await site.get()
    ours = await site.get(cookie=[f"{name}={ours.token}".encode()])

    assert ours.cookie == theirs.cookie
    assert ours.cookie is not None
    assert "=null; " in ours.cookie


def test_their_parameters_come_first_in_their_order_with_their_defaults() -> None:
    theirs = list(inspect.signature(StarlettesOwn).parameters.values())
    ours = list(inspect.signature(SessionMiddleware).parameters.values())

    for their, our in zip(theirs, ours, strict=False):
        assert (our.name, our.kind) == (their.name, their.kind)
        if their.name != "secret_key":  # ours may also come from the environment
            assert our.default == their.default
    assert all(our.kind is not our.POSITIONAL_OR_KEYWORD for our in ours[len(theirs) :])


@pytest.mark.parametrize("max_age", [0, -1])
async def test_of_zero_seconds_nothing_is_kept_and_nothing_accepted(max_age: int) -> None:
    site = Site(max_age=max_age)
    lasting = Site(store=site.store.store)
    token = await lasting.begin()

    reply = await site.get(lambda session: session.update(a=1))
    assert f"Max-Age={max_age};" in str(reply.cookie)
    again = await site.get(lambda session: session.get("a"), reply.token)
    other = await site.get(lambda session: session.get("seen"), token)

    assert again.cookie is other.cookie is None
    assert site.verbs == []


async def test_without_max_age_a_session_still_ends_after_two_weeks_of_idleness() -> None:
    site = Site(max_age=None)
    token = (await site.get(lambda session: session.update(a=1))).token

    site.clock.advance(14 * 86400 - 1)
    assert site.stored(token) == {"a": 1}
    site.clock.advance(1)
    assert site.stored(token) == {}


async def test_without_max_age_another_idle_timeout_may_be_chosen() -> None:
    site = Site(max_age=None, idle_timeout=60)
    token = (await site.get(lambda session: session.update(a=1))).token

    site.clock.advance(60)
    assert site.stored(token) == {}
    with pytest.raises(ConfigurationError, match="max_age=None"):
        Site(idle_timeout=60)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"session_cookie": "__Host-sid"}, "Secure"),
        ({"session_cookie": "__Host-sid", "https_only": True, "path": "/a"}, "path '/'"),
        ({"session_cookie": "__host-sid", "https_only": True, "domain": "a.org"}, "no domain"),
        ({"session_cookie": "a b"}, "cookie name"),
        ({"same_site": "none"}, "SameSite=None"),
        ({"same_site": "lux"}, "'lax', 'strict' or 'none'"),
    ],
)
def test_what_a_browser_would_drop_is_refused_at_start_up(
    settings: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Site(**settings)


async def test_host_prefix() -> None:
    site = Site(session_cookie="__Host-sid", https_only=True)

    reply = await site.get(lambda session: session.update(a=1))

    assert str(reply.cookie).startswith("__Host-sid=")
    assert str(reply.cookie).endswith("; path=/; Max-Age=1209600; httponly; samesite=lax; secure")


# -- Vary and Cache-Control --


async def test_an_untouched_session_leaves_the_headers_alone() -> None:
    site = Site()
    reply = await site.get(lambda session: None, await site.begin())

    assert reply.start["headers"] == []


LOOKS: dict[str, Any] = {
    "get": lambda session: session.get("a"),
    "in": lambda session: "a" in session,
    "bool": bool,
    "list": list,
    "len": len,
    "subject": lambda session: session.subject,
    "request.session": lambda session: session.mark_accessed(),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("known", [True, False])
async def test_a_response_varies_by_cookie_once_the_session_was_looked_at(
    look: str, known: bool
) -> None:
    site = Site()
    reply = await site.get(LOOKS[look], await site.begin() if known else None)

    assert reply.header("vary") == "Cookie"
    assert reply.cookie is None
    assert reply.header("cache-control") is None


def answering(*headers: tuple[bytes, bytes]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    return app


async def test_a_response_with_a_session_cookie_is_not_to_be_stored() -> None:
    assert (await Site(answering()).get()).header("cache-control") == "no-store"


async def test_unless_the_application_says_otherwise() -> None:
    reply = await Site(answering((b"Cache-Control", b"private, max-age=9"))).get()

    assert reply.header("cache-control") is None
    assert (b"Cache-Control", b"private, max-age=9") in reply.start["headers"]


@pytest.mark.parametrize(
    ("theirs", "vary"),
    [
        ([b"Accept"], "Accept, Cookie"),
        ([b"Accept", b"Origin, X-A"], "Accept, Origin, X-A, Cookie"),
        ([b"accept, cookie"], "accept, cookie"),
        ([b"*"], "*"),
    ],
)
async def test_vary_keeps_what_the_application_said(theirs: list[bytes], vary: str) -> None:
    reply = await Site(answering(*((b"vary", value) for value in theirs))).get()

    assert reply.header("vary") == vary


async def test_a_response_that_sets_the_cookie_varies_in_any_case() -> None:
    def view(session: Any) -> None:
        session["a"] = 1
        session.accessed = False

    assert (await Site().get(view)).header("vary") == "Cookie"


async def test_a_start_without_headers_gets_them() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        await send({"type": "http.response.start", "status": 200})

    assert (await Site(app).get()).cookie is not None
