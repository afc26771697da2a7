"""Sessions of WebSockets: loaded at connect, cookie in the accept, stored at close."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from sessionstore import HeadersAlreadySent, SessionGone, StoreUnavailable
from tests.asgi_adapter.support import DAY, Site
from tests.support.scripted_store import raises

DOWN = StoreUnavailable("connection refused", node="secret-host:6379")
DENIAL = {"extensions": {"websocket.http.response": {}}}
TEXT = {"type": "websocket.receive", "text": "hello"}
GONE = {"type": "websocket.disconnect", "code": 1001}


def endpoint(handler: Any) -> Any:
    """A plain ASGI application from a Starlette-like function of a WebSocket."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await handler(WebSocket(scope, receive, send))

    return app


async def test_the_session_is_read_and_written() -> None:
    async def chat(websocket: WebSocket) -> None:
        session = websocket.session
        session["visits"] = session.get("visits", 0) + 1
        await websocket.accept()
        session["said"] = await websocket.receive_text()
        await websocket.close()

    site = Site(endpoint(chat))
    token = await site.begin(visits=1)
    reply = await site.connect(TEXT, cookie=token)

    assert reply.error is None
    assert reply.types == ["websocket.accept", "websocket.close"]
    assert site.verbs == ["load", "replace", "replace"]
    assert site.stored(token) == {"visits": 2, "said": "hello"}


async def test_a_new_sessions_cookie_is_in_the_accept() -> None:
    async def chat(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.accept(headers=[(b"x-mine", b"1")])

    site = Site(endpoint(chat))
    reply = await site.connect()

    assert site.verbs == ["create"]
    assert reply.header("x-mine") == "1"
    assert site.stored(reply.token) == {"a": 1}


@pytest.mark.parametrize("cookie", [None, "junk"])
async def test_who_has_no_session_costs_nothing(cookie: str | None) -> None:
    async def chat(websocket: WebSocket) -> None:
        websocket.session.get("a")
        await websocket.accept()
        await websocket.close()

    site = Site(endpoint(chat))
    reply = await site.connect(cookie=cookie)

    assert reply.types == ["websocket.accept", "websocket.close"]
    assert reply.cookie is None
    assert site.verbs == []


async def test_saving_while_it_is_open() -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 1
        await websocket.session.save()  # type: ignore[attr-defined]
        assert site.verbs == ["load", "replace"]
        await websocket.session.save()  # type: ignore[attr-defined]
        assert site.verbs == ["load", "replace"]

    site = Site(endpoint(chat))
    token = await site.begin()
    reply = await site.connect(cookie=token)

    assert reply.error is None
    assert site.stored(token) == {"seen": 1, "a": 1}


async def test_saving_now_and_then_keeps_the_session_alive() -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session.get("a")
        for _ in range(20):
            site.clock.advance(DAY)
            await websocket.session.save()  # type: ignore[attr-defined]

    site = Site(endpoint(chat))
    token = await site.begin()
    reply = await site.connect(cookie=token)

    assert reply.error is None
    assert site.stored(token) == {"seen": 1}


async def test_after_the_accept_no_session_can_begin() -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(HeadersAlreadySent):
            websocket.session["a"] = 1
        with pytest.raises(HeadersAlreadySent):
            websocket.session.login("ann")  # type: ignore[attr-defined]

    reply = await Site(endpoint(chat)).connect()

    assert reply.error is None


async def test_a_logout_while_it_is_open() -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session.clear()
        await websocket.close()

    site = Site(endpoint(chat))
    token = await site.begin()
    await site.connect(cookie=token)

    assert site.verbs == ["load", "delete"]


async def test_what_is_changed_after_the_close_is_stored_at_the_end() -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        websocket.session["a"] = 1

    site = Site(endpoint(chat))
    token = await site.begin()
    await site.connect(cookie=token)

    assert site.stored(token) == {"seen": 1, "a": 1}


@pytest.mark.parametrize("caught", [True, False])
async def test_when_the_client_leaves_the_session_is_stored(caught: bool) -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                websocket.session["said"] = await websocket.receive_text()
        except WebSocketDisconnect:
            if not caught:
                raise

    site = Site(endpoint(chat))
    token = await site.begin()
    reply = await site.connect(TEXT, GONE, cookie=token)

    assert isinstance(reply.error, WebSocketDisconnect) is not caught
    assert site.stored(token) == {"seen": 1, "said": "hello"}


async def test_an_exception_stores_nothing() -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 1
        raise ZeroDivisionError

    site = Site(endpoint(chat))
    token = await site.begin()
    reply = await site.connect(cookie=token)

    assert isinstance(reply.error, ZeroDivisionError)
    assert site.verbs == ["load"]


async def test_a_rejection_stores_what_a_known_visitor_did() -> None:
    async def chat(websocket: WebSocket) -> None:
        websocket.session["rejected"] = 1
        await websocket.close(4003)

    site = Site(endpoint(chat))
    token = await site.begin()
    reply = await site.connect(cookie=token)

    assert reply.messages == [{"type": "websocket.close", "code": 4003, "reason": ""}]
    assert site.stored(token) == {"seen": 1, "rejected": 1}


async def test_a_rejection_cannot_begin_a_session() -> None:
    async def chat(websocket: WebSocket) -> None:
        websocket.session["rejected"] = 1
        await websocket.close(4003)

    site = Site(endpoint(chat))
    reply = await site.connect()

    assert isinstance(reply.error, HeadersAlreadySent)
    assert reply.types == ["websocket.close"]
    assert site.verbs == []


async def test_a_denial_response_commits_like_http() -> None:
    async def chat(websocket: WebSocket) -> None:
        from starlette.responses import PlainTextResponse

        websocket.session["a"] = 1
        await websocket.send_denial_response(PlainTextResponse("no", 403))

    site = Site(endpoint(chat))
    reply = await site.connect(**DENIAL)

    assert reply.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert reply.status == 403
    assert reply.header("cache-control") == "no-store"
    assert site.stored(reply.token) == {"a": 1}


async def test_manual_loading() -> None:
    async def chat(websocket: WebSocket) -> None:
        session: Any = websocket.session
        assert site.verbs == []
        await session.load()
        session["a"] = 1
        await websocket.accept()

    site = Site(endpoint(chat), load="manual")
    token = await site.begin()
    reply = await site.connect(cookie=token)

    assert reply.error is None
    assert site.stored(token) == {"seen": 1, "a": 1}


# -- failures --


async def never(websocket: WebSocket) -> None:
    pytest.fail("the application was called")


async def test_a_session_that_cannot_be_loaded_is_denied_by_a_503() -> None:
    site = Site(endpoint(never))
    token = await site.begin()
    site.store.down(DOWN)
    reply = await site.connect(cookie=token, **DENIAL)

    assert reply.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert reply.received == ["websocket.connect"], "a server may wait for that"
    assert reply.status == 503
    assert reply.cookie is None
    assert b"secret-host" not in reply.body
    assert reply.error is None


@pytest.mark.parametrize("extensions", [{}, None])
async def test_where_the_server_offers_none_it_is_closed(extensions: Any) -> None:
    site = Site(endpoint(never))
    token = await site.begin()
    site.store.down(DOWN)
    reply = await site.connect(cookie=token, extensions=extensions)

    assert reply.types == ["websocket.close"]
    assert reply.start["code"] == 1013
    assert "secret-host" not in reply.start["reason"]
    assert reply.error is None


async def accepting(websocket: WebSocket) -> None:
    websocket.session["a"] = 1
    await websocket.accept()
    pytest.fail("the application was not told")


async def test_a_session_that_cannot_be_stored_is_denied_too() -> None:
    site = Site(endpoint(accepting))
    token = await site.begin()
    site.store.on("replace", raises(DOWN))
    reply = await site.connect(cookie=token, **DENIAL)

    assert (reply.types[0], reply.status) == ("websocket.http.response.start", 503)
    assert reply.received == ["websocket.connect"]
    assert reply.error is None


async def test_or_closed() -> None:
    site = Site(endpoint(accepting))
    site.store.down(DOWN)
    reply = await site.connect()

    assert reply.messages[0]["code"] == 1013
    assert reply.types == ["websocket.close"]


@pytest.mark.parametrize(("server", "status"), [(DENIAL, 409), ({}, 1008)])
async def test_a_session_that_ended_meanwhile(server: Any, status: int) -> None:
    async def chat(websocket: WebSocket) -> None:
        other = site.app.manager.open(token)
        other.logout()
        site.app.manager.commit(other)
        await accepting(websocket)

    site = Site(endpoint(chat))
    token = await site.begin()
    reply = await site.connect(cookie=token, **server)

    assert reply.start.get("status", reply.start.get("code")) == status
    assert "headers" not in reply.start or reply.cookie is None
    assert reply.error is None


async def test_while_it_is_open_the_application_is_told() -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        other = site.app.manager.open(token)
        other.logout()
        site.app.manager.commit(other)
        websocket.session["a"] = 1
        await websocket.session.save()  # type: ignore[attr-defined]

    site = Site(endpoint(chat))
    token = await site.begin()
    reply = await site.connect(cookie=token)

    assert isinstance(reply.error, SessionGone)
    assert reply.types == ["websocket.accept"]


async def test_a_failure_at_the_close_closes_with_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 1
        await websocket.close(1000)

    site = Site(endpoint(chat))
    token = await site.begin()
    site.store.on("replace", raises(DOWN))
    reply = await site.connect(cookie=token)

    assert reply.error is DOWN
    assert reply.messages[-1]["code"] == 1011
    assert "could not be stored" in caplog.text
    assert site.verbs == ["load", "replace"]


async def test_which_is_not_tried_again() -> None:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 1
        with pytest.raises(StoreUnavailable):
            await websocket.close()

    site = Site(endpoint(chat))
    token = await site.begin()
    site.store.on("replace", raises(DOWN))
    reply = await site.connect(cookie=token)

    assert reply.error is None
    assert site.verbs == ["load", "replace"]


async def test_an_unstorable_value_at_the_accept_is_the_applications_error() -> None:
    async def chat(websocket: WebSocket) -> None:
        websocket.session["a"] = object()
        await websocket.accept()

    reply = await Site(endpoint(chat)).connect(**DENIAL)

    assert isinstance(reply.error, TypeError)
    assert reply.messages == []
