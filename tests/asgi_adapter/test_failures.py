"""What the client and the application are told when something cannot be stored or read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from sessionstore import (
    ConflictUnresolved,
    OutcomeUnknown,
    SessionGone,
    SessionTooLarge,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from tests.asgi_adapter.support import Reply, Site
from tests.support.scripted_store import after, raises

DOWN = StoreUnavailable("connection refused", node="secret-host:6379")
FAILURES = [
    DOWN,
    StoreRefused("WRONGPASS"),
    StoreFull("OOM"),
    OutcomeUnknown("reset"),
    ConflictUnresolved("busy"),
]


def is_unavailable(reply: Reply) -> bool:
    assert b"secret-host" not in reply.body
    return (
        reply.types == ["http.response.start", "http.response.body"]
        and reply.status == 503
        and reply.header("retry-after") is not None
        and reply.header("cache-control") == "no-store"
        and reply.header("vary") == "Cookie"
        and reply.header("content-length") == str(len(reply.body))
        and reply.error is None
    )


# -- before the application --


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
async def test_a_session_that_cannot_be_loaded_is_a_503(error: Exception) -> None:
    site = Site()
    token = await site.begin()
    site.store.down(error)

    reply = await site.get(lambda session: pytest.fail("the application was called"), token)

    assert is_unavailable(reply)
    assert reply.cookie is None


async def test_who_has_no_session_is_served_while_the_store_is_down() -> None:
    site = Site()
    site.store.down(DOWN)

    reply = await site.get(lambda session: session.get("a"))

    assert reply.status == 200


async def test_manual_loading_that_fails_is_a_503_too() -> None:
    site = Site(load="manual")
    token = await site.begin()
    site.store.down(DOWN)

    reply = await site.get(lambda session: session.load(), token)

    assert is_unavailable(reply)


# -- at the commit --


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("known", [True, False])
async def test_a_session_that_cannot_be_stored_is_a_503(error: Exception, known: bool) -> None:
    site = Site()
    token = await site.begin() if known else None
    for verb in ("create", "replace"):
        site.store.always(verb, raises(error))

    reply = await site.get(lambda session: session.update(a=1), token)

    assert is_unavailable(reply)
    assert reply.cookie is None
    site.store.up()
    assert token is None or site.stored(token) == {"seen": 1}


LOGOUTS: dict[str, Any] = {
    "logout": lambda session: session.logout(),
    "clear": lambda session: session.clear(),
}


@pytest.mark.parametrize("logout", LOGOUTS)
@pytest.mark.parametrize("on_unavailable", ["error", "anonymous"])
async def test_a_failed_logout_is_a_503_and_clears_the_cookie(
    logout: str, on_unavailable: str
) -> None:
    site = Site(on_unavailable=on_unavailable)
    token = await site.begin()
    site.store.on("delete", raises(DOWN))

    reply = await site.get(LOGOUTS[logout], token)

    assert is_unavailable(reply)
    assert reply.deletes


@pytest.mark.parametrize("logout", LOGOUTS)
async def test_a_logout_after_a_load_that_failed_is_one_too(logout: str) -> None:
    site = Site(on_unavailable="anonymous")
    token = await site.begin()
    site.store.down(DOWN)

    reply = await site.get(LOGOUTS[logout], token)

    assert is_unavailable(reply)
    assert reply.deletes


async def test_a_failed_logout_that_the_application_saves_itself_clears_the_cookie() -> None:
    site = Site(load="manual")
    token = await site.begin()
    site.store.down(DOWN)

    async def leave(session: Any) -> None:
        session.logout()
        await session.save()

    reply = await site.get(leave, token)

    assert is_unavailable(reply)
    assert reply.deletes


async def test_a_site_may_prefer_pages_without_sessions() -> None:
    site = Site(on_unavailable="anonymous")
    token = await site.begin()
    site.store.down(DOWN)
    seen: list[Any] = []

    reply = await site.get(
        lambda session: (seen.append((session.available, dict(session))), session.update(a=1)),
        token,
    )

    assert seen == [(False, {})]
    assert reply.status == 200
    assert reply.cookie is None


async def test_a_session_that_ended_meanwhile_is_a_409() -> None:
    site = Site()
    token = await site.begin()
    other = Site(store=site.store.store, clock=site.clock).app.manager.open(token)
    other.logout()

    def late(session: Any) -> None:
        site.app.manager.commit(other)
        session["a"] = 1

    reply = await site.get(late, token)

    assert reply.status == 409
    assert reply.cookie is None
    assert reply.error is None
    assert site.stored(token) == {}


async def test_what_an_earlier_save_stored_keeps_its_cookie() -> None:
    site = Site()
    site.store.on("replace", raises(DOWN))

    async def page(session: Any) -> None:
        session["a"] = 1
        await session.save()
        session["b"] = 2

    reply = await site.get(page)

    assert is_unavailable(reply)
    assert site.stored(reply.token) == {"a": 1}


async def test_but_not_if_that_session_has_ended() -> None:
    site = Site()

    async def page(session: Any) -> None:
        session["a"] = 1
        await session.save()
        other = site.app.manager.open(session.state.token.text)
        other.logout()
        site.app.manager.commit(other)
        session["b"] = 2

    reply = await site.get(page)

    assert (reply.status, reply.cookie) == (409, None)


# -- the application's own mistakes --


async def test_a_value_that_cannot_be_stored_is_the_applications_error() -> None:
    site = Site()
    token = await site.begin()

    reply = await site.get(lambda session: session.update(cart={"a": [object()]}), token)

    assert isinstance(reply.error, TypeError)
    assert "cart.a[0]" in str(reply.error) or "cart" in str(reply.error)
    assert reply.messages == []
    assert site.stored(token) == {"seen": 1}


async def test_a_store_that_breaks_its_contract_is_an_error_like_any() -> None:
    site = Site()
    site.store.on("create", raises(ZeroDivisionError()))
    reply = await site.get(lambda session: session.update(a=1))

    assert isinstance(reply.error, ZeroDivisionError)
    assert reply.messages == []


async def test_too_large_a_session_is_the_applications_error() -> None:
    site = Site(max_size=100)
    reply = await site.get(lambda session: session.update(a="x" * 101))

    assert isinstance(reply.error, SessionTooLarge)
    assert site.verbs == []


async def test_an_error_page_of_the_application_gets_through() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = object()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        except TypeError:
            await send({"type": "http.response.start", "status": 500, "headers": []})

    site = Site(app)
    reply = await site.get(cookie=await site.begin())

    assert reply.status == 500
    assert reply.cookie is None
    assert reply.error is None
    assert site.verbs == ["load"]


async def test_an_exception_before_the_response_stores_nothing() -> None:
    site = Site()
    token = await site.begin()

    def fails(session: Any) -> None:
        session["a"] = 1
        raise ZeroDivisionError

    reply = await site.get(fails, token)

    assert isinstance(reply.error, ZeroDivisionError)
    assert site.verbs == ["load"]


# -- after the response has begun --


def late_writer(session_write: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        session_write(scope["session"])

    return app


async def test_a_late_failure_is_logged_and_raised(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(late_writer(lambda session: session.update(a=1)))
    token = await site.begin()
    site.store.on("replace", raises(DOWN))

    with caplog.at_level(logging.ERROR, logger="sessionstore"):
        reply = await site.get(cookie=token)

    assert reply.error is DOWN
    assert reply.status == 200
    assert "could not be stored: StoreUnavailable" in caplog.text
    assert token not in caplog.text


async def test_a_late_write_after_a_logout_elsewhere_is_told() -> None:
    def write(session: Any) -> None:
        other = site.app.manager.open(token)
        other.logout()
        site.app.manager.commit(other)
        session["a"] = 1

    site = Site(late_writer(write))
    token = await site.begin()
    reply = await site.get(cookie=token)

    assert isinstance(reply.error, SessionGone)


async def test_an_exception_in_a_stream_stores_nothing_more() -> None:
    def fails(session: Any) -> None:
        session["a"] = 1
        raise ZeroDivisionError

    site = Site(late_writer(fails))
    token = await site.begin()
    reply = await site.get(cookie=token)

    assert isinstance(reply.error, ZeroDivisionError)
    assert site.verbs == ["load"]


async def test_a_store_error_in_a_stream_cannot_be_answered() -> None:
    def fails(session: Any) -> None:
        raise DOWN

    reply = await Site(late_writer(fails)).get()

    assert reply.error is DOWN
    assert reply.types == ["http.response.start", "http.response.body"]


# -- the application is told, however it is built --


async def test_an_endless_stream_is_ended() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        while True:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    site = Site(app)
    site.store.down(DOWN)

    assert is_unavailable(await site.get())


async def test_an_application_that_answers_by_itself_after_we_did_is_ended() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await send({"type": "http.response.start", "status": 200, "headers": []})
            scope["session"]["b"] = 1

    site = Site(app)
    site.store.down(DOWN)

    assert is_unavailable(await site.get())
    assert site.verbs == ["create"]


async def test_other_exceptions_of_an_application_that_was_told_go_on() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        with contextlib.suppress(StoreUnavailable):
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    site = Site(app)
    site.store.down(DOWN)

    reply = await site.get()

    assert isinstance(reply.error, ZeroDivisionError)
    assert reply.status == 503


async def test_a_group_around_our_error_is_ours() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        async with asyncio.TaskGroup() as group:
            group.create_task(send({"type": "http.response.start", "status": 200}))

    site = Site(app)
    site.store.down(DOWN)

    assert is_unavailable(await site.get())


def starlette(endpoint: Any, **handlers: Any) -> Site:
    site = Site(None)
    app = Starlette(
        routes=[Route("/", endpoint)],
        middleware=[Middleware(type(site.app), **site.settings)],
        exception_handlers=handlers.get("exception_handlers"),
    )
    site.app = app  # type: ignore[assignment]
    return site


async def test_starlettes_background_task_does_not_run_as_if_it_were_stored() -> None:
    ran: list[int] = []

    async def page(request: Request) -> Response:
        request.session["a"] = 1
        return PlainTextResponse("done", background=BackgroundTask(ran.append, 1))

    site = starlette(page)
    site.store.down(DOWN)

    assert is_unavailable(await site.get())
    assert ran == []


async def test_starlettes_stream_is_ended() -> None:
    ended: list[int] = []

    async def endless() -> Any:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            ended.append(1)

    async def page(request: Request) -> Response:
        request.session["a"] = 1
        return StreamingResponse(endless())

    site = starlette(page)
    site.store.down(DOWN)

    assert is_unavailable(await site.get())


async def test_a_handler_for_store_errors_does_not_spoil_the_503() -> None:
    """Starlette refuses to handle an error of a response that it believes to have begun."""

    async def page(request: Request) -> Response:
        request.session["a"] = 1
        return PlainTextResponse("done")

    async def handler(request: Request, error: Exception) -> Response:
        return PlainTextResponse("sorry", 500)

    site = starlette(page, exception_handlers={StoreUnavailable: handler})
    site.store.down(DOWN)

    assert is_unavailable(await site.get())


async def test_starlettes_500_stores_nothing() -> None:
    async def page(request: Request) -> Response:
        request.session["a"] = 1
        raise ZeroDivisionError

    site = starlette(page)
    reply = await site.get()

    assert reply.status == 500
    assert reply.cookie is None
    assert site.verbs == []


async def test_a_500_that_an_inner_handler_gives_is_a_response_like_any() -> None:
    async def page(request: Request) -> Response:
        request.session["a"] = 1
        raise ZeroDivisionError

    async def handler(request: Request, error: Exception) -> Response:
        return PlainTextResponse("sorry", 500)

    site = starlette(page, exception_handlers={ZeroDivisionError: handler})
    reply = await site.get()

    assert reply.status == 500
    assert reply.cookie is not None


# -- cancellation --


@pytest.mark.parametrize("verb", ["load", "replace"])
async def test_a_cancelled_request_leaves_the_session_whole(verb: str) -> None:
    site = Site()
    token = await site.begin()
    task: asyncio.Task[Any]

    def cancelled() -> None:
        task.cancel()
        raise asyncio.CancelledError

    site.store.on(verb, after(cancelled))
    task = asyncio.create_task(site.get(lambda session: session.update(a=1), token))
    with pytest.raises(asyncio.CancelledError):
        await task

    assert site.stored(token) == {"seen": 1}
    reply = await site.get(lambda session: session.update(b=1), token)
    assert reply.status == 200
    assert site.stored(token) == {"seen": 1, "b": 1}


async def test_a_response_may_be_sent_after_a_commit_was_cancelled() -> None:
    """A time limit in the application itself: it gives up, and answers something else."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        except asyncio.CancelledError:
            await send({"type": "http.response.start", "status": 504, "headers": []})

    def cancelled() -> None:
        raise asyncio.CancelledError

    site = Site(app)
    token = await site.begin()
    site.store.on("replace", after(cancelled))
    reply = await site.get(cookie=token)

    assert reply.status == 504
    assert site.stored(token) == {"seen": 1, "a": 1}
