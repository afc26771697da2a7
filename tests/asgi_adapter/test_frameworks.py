"""Under Starlette and FastAPI, in the places where an application puts a middleware."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware as StarlettesOwn
from starlette.requests import Request
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route

from sessionstore import MemoryStore
from sessionstore.asgi import ASGISession, SessionMiddleware
from tests.asgi_adapter.support import KEY, Site, TestClient
from tests.support.scripted_store import ScriptedStore


async def show(request: Request) -> Response:
    return JSONResponse(request.session)


async def count(request: Request) -> Response:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session)


async def leave(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse("/")


def count_in_a_thread(request: Request) -> Response:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session)


ROUTES = [
    Route("/", show),
    Route("/count", count),
    Route("/thread", count_in_a_thread),
    Route("/leave", leave),
]


def ours(store: Any, **settings: Any) -> Middleware:
    return Middleware(SessionMiddleware, secret_key=KEY, store=store, **settings)


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore(MemoryStore())


# -- Starlette --


def test_each_request_on_an_event_loop_of_its_own(store: ScriptedStore) -> None:
    client = TestClient(Starlette(routes=ROUTES, middleware=[ours(store)]))

    assert client.get("/count").json() == {"visits": 1}
    assert client.get("/thread").json() == {"visits": 2}
    assert client.get("/").json() == {"visits": 2}
    assert client.get("/leave").json() == {}
    assert "session" not in client.cookies


def test_a_background_task_may_write(store: ScriptedStore) -> None:
    async def page(request: Request) -> Response:
        request.session["page"] = 1
        return PlainTextResponse("done", background=BackgroundTask(request.session.update, task=1))

    client = TestClient(Starlette(routes=[*ROUTES, Route("/page", page)], middleware=[ours(store)]))
    client.get("/page")

    assert client.get("/").json() == {"page": 1, "task": 1}
    assert store.verbs == ["create", "replace", "load"]


def test_a_stream_may_write(store: ScriptedStore) -> None:
    async def page(request: Request) -> Response:
        async def lines() -> AsyncIterator[str]:
            for number in range(3):
                request.session["line"] = number
                yield "x"

        request.session["page"] = 1
        return StreamingResponse(lines())

    client = TestClient(Starlette(routes=[*ROUTES, Route("/page", page)], middleware=[ours(store)]))

    assert client.get("/page").text == "xxx"
    assert client.get("/").json() == {"page": 1, "line": 2}


class Noting(BaseHTTPMiddleware):
    """Reads and writes the session on both sides of the application."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        before = "session" in request.scope
        if before:
            request.session["before"] = 1
        response: Response = await call_next(request)
        response.headers["x-saw"] = json.dumps(dict(request.scope["session"]))
        return response


@pytest.mark.parametrize("outside", [True, False])
def test_a_middleware_of_starlettes_kind(outside: bool, store: ScriptedStore) -> None:
    middleware = [ours(store), Middleware(Noting)]
    client = TestClient(
        Starlette(routes=ROUTES, middleware=middleware[::-1] if outside else middleware)
    )
    written = {"visits": 1} if outside else {"before": 1, "visits": 1}

    assert json.loads(client.get("/count").headers["x-saw"]) == written
    # What it writes after the response was made, but before it was sent, is stored too.
    assert client.get("/").json() == written


# -- one inside the other --


def test_a_mounted_application_with_a_cookie_of_its_own(store: ScriptedStore) -> None:
    other = ScriptedStore(MemoryStore())
    inner = Starlette(routes=ROUTES, middleware=[ours(other, session_cookie="inner")])
    app = Starlette(routes=[*ROUTES, Mount("/inner", inner)], middleware=[ours(store)])
    client = TestClient(app)

    client.get("/count")
    assert client.get("/inner/count").json() == {"visits": 1}
    assert client.get("/inner/count").json() == {"visits": 2}
    assert client.get("/").json() == {"visits": 1}
    assert set(client.cookies) == {"session", "inner"}


@pytest.mark.parametrize("load", ["auto", "manual"])
def test_the_same_middleware_twice_is_one_session(load: Any, store: ScriptedStore) -> None:
    inner = Starlette(routes=ROUTES, middleware=[ours(store)])
    app = Starlette(routes=[Mount("/inner", inner)], middleware=[ours(store, load=load)])
    client = TestClient(app)

    first = client.get("/inner/count")
    second = client.get("/inner/count")

    assert len(first.headers.get_list("set-cookie")) == 1
    assert second.json() == {"visits": 2}
    assert store.verbs == ["create", "load", "replace"]


def test_the_same_manual_middleware_twice_loads_nothing(store: ScriptedStore) -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse("done")

    inner = Starlette(routes=[Route("/", page)], middleware=[ours(store, load="manual")])
    middleware = [ours(store, load="manual")]
    app = Starlette(routes=[Mount("/inner", inner)], middleware=middleware)
    client = TestClient(app, cookies={"session": _token(store)})
    store.forget()

    assert client.get("/inner/").text == "done"
    assert store.verbs == []


def _token(store: ScriptedStore) -> str:
    client = TestClient(Starlette(routes=ROUTES, middleware=[ours(store)]))
    client.get("/count")
    return client.cookies["session"]


def test_starlettes_own_inside_ours(store: ScriptedStore) -> None:
    own = Middleware(StarlettesOwn, secret_key=KEY, session_cookie="theirs")
    inner = Starlette(routes=ROUTES, middleware=[own])
    client = TestClient(
        Starlette(routes=[*ROUTES, Mount("/inner", inner)], middleware=[ours(store)])
    )

    client.get("/count")
    assert client.get("/inner/count").json() == {"visits": 1}
    assert client.get("/").json() == {"visits": 1}
    assert client.get("/inner/leave", follow_redirects=False).status_code == 307
    assert client.get("/").json() == {"visits": 1}


async def test_what_an_application_puts_in_its_place_is_not_stored() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        scope["session"] = {"mine": 1}
        await send({"type": "http.response.start", "status": 200, "headers": []})

    site = Site(app)
    token = await site.begin()
    reply = await site.get(cookie=token)

    assert reply.error is None
    assert site.stored(token) == {"seen": 1, "a": 1}


# -- FastAPI --


async def find_cart(request: Request) -> AsyncIterator[dict[str, int]]:
    yield request.session.setdefault("cart", {})
    request.session["done"] = True  # once the response has been sent


Cart = Annotated[dict[str, int], Depends(find_cart)]


async def add(name: str, cart: Cart) -> dict[str, int]:
    cart[name] = cart.get(name, 0) + 1
    return cart


def look(request: Request) -> dict[str, Any]:
    return request.session


async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    websocket.session["cart"]["bread"] = 7
    await websocket.send_json(websocket.session)
    await websocket.close()


def test_fastapi(store: ScriptedStore) -> None:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=KEY, store=store)
    app.post("/cart/{name}")(add)
    app.get("/")(look)
    app.websocket("/ws")(chat)

    client = TestClient(app)
    client.post("/cart/apples")
    assert client.post("/cart/apples").json() == {"apples": 2}
    assert client.get("/").json() == {"cart": {"apples": 2}, "done": True}
    with client.websocket_connect("/ws") as websocket:
        assert websocket.receive_json()["cart"] == {"apples": 2, "bread": 7}
        assert websocket.receive()["type"] == "websocket.close"
    assert client.get("/").json()["cart"] == {"apples": 2, "bread": 7}


# -- a dict for whoever wants one --


async def test_it_is_a_dict() -> None:
    def look(session: Any) -> None:
        assert isinstance(session, dict)
        assert isinstance(session, ASGISession)
        assert json.loads(json.dumps(session)) == {"a": {"b": [1]}}
        assert session == {"a": {"b": [1]}}
        assert {**session} == dict(session) == session | {}
        assert "'b'" not in repr(session)
        assert not hasattr(session, "__dict__")

    site = Site()
    token = await site.begin(a={"b": [1]})
    reply = await site.get(look, token)

    assert reply.error is None
    assert site.verbs == ["load"]
