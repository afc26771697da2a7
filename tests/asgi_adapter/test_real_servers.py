"""On a real Redis, and under uvicorn: many loops, many threads, many requests at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sessionstore import open_store
from sessionstore.asgi import SessionMiddleware
from tests.asgi_adapter.support import KEY, TestClient, call, scope_of
from tests.support.http_servers import HttpServer, serve_asgi
from tests.support.servers import RedisServer, run_redis


@pytest.fixture
def url(redis_server: RedisServer, prefix: str) -> str:
    return f"{redis_server.url}?prefix={prefix}&timeout=5"


async def write(request: Request) -> Response:
    request.session[request.path_params["name"]] = 1
    return JSONResponse(request.session)


@pytest.fixture
def application(url: str) -> Iterator[Starlette]:
    """An application whose lifespan never runs, so that each request has a loop of its own."""
    store = open_store(url)
    app = Starlette(routes=[Route("/{name}", write)])
    app.add_middleware(SessionMiddleware, secret_key=KEY, store=store)
    yield app
    store.close()


async def test_two_requests_of_one_session_at_once_keep_both_changes(url: str) -> None:
    together = asyncio.Barrier(2)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        name = scope["path"]
        scope["session"][name] = 1
        if name != "/first":
            await together.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    site = SessionMiddleware(app, KEY, url=url)
    token = (await call(site, scope_of("http", None, path="/first"))).token
    replies = await asyncio.gather(
        *(call(site, scope_of("http", token, path=path)) for path in ("/a", "/b"))
    )

    assert [reply.error for reply in replies] == [None, None]
    session = await site.manager.aopen(token)
    assert set(session) == {"/first", "/a", "/b"}
    await site.manager.store.aclose()


async def test_fifty_requests_of_one_session_at_once(url: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"][scope["path"]] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})

    site = SessionMiddleware(app, KEY, url=url)
    token = (await call(site, scope_of("http", None))).token
    replies = await asyncio.gather(
        *(call(site, scope_of("http", token, path=f"/{number}")) for number in range(50))
    )

    assert {reply.status for reply in replies} == {200}
    assert len(await site.manager.aopen(token)) == 51
    await site.manager.store.aclose()


def test_every_request_on_another_event_loop(application: Starlette) -> None:
    client = TestClient(application)

    for number in range(10):
        answer = client.get(f"/n{number}")

    assert len(answer.json()) == 10
    assert len(client.get("/last").json()) == 11


def test_many_threads_with_a_loop_each(application: Starlette) -> None:
    seen: list[dict[str, int]] = []

    def visit(number: int) -> None:
        client = TestClient(application)
        for step in range(5):
            answer = client.get(f"/thread{number}step{step}")
        seen.append(answer.json())

    threads = [threading.Thread(target=visit, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Each client has its own session, and nothing of anybody else's is in it.
    owners = {tuple(sorted({name.partition("step")[0] for name in one})) for one in seen}
    assert owners == {(f"thread{number}",) for number in range(8)}
    assert all(len(one) == 5 for one in seen)


async def test_cancelled_requests_hand_nobody_anothers_reply(url: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["path"] = scope["path"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    site = SessionMiddleware(app, KEY, url=url)
    tokens = [
        (await call(site, scope_of("http", None, path=f"/{number}"))).token for number in range(8)
    ]
    for rounds in range(6):
        tasks = [
            asyncio.create_task(call(site, scope_of("http", token, path=f"/{number}")))
            for number, token in enumerate(tokens)
        ]
        for _ in range(rounds):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    for number, token in enumerate(tokens):
        assert dict(await site.manager.aopen(token)) == {"path": f"/{number}"}
    await site.manager.store.aclose()


# -- uvicorn --


@pytest.fixture
def server(url: str) -> Iterator[HttpServer]:
    env = {"SESSIONSTORE_URL": url, "SESSIONSTORE_SECRET_KEY": KEY}
    with serve_asgi("tests.asgi_adapter.served:app", env=env) as running:
        yield running


def test_http_and_websockets_share_a_session(server: HttpServer) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/count").json() == {"visits": 1}
        cookie = f"session={client.cookies['session']}"
        where = server.url.replace("http", "ws", 1) + "/ws"
        with connect(where, additional_headers={"Cookie": cookie}) as socket:
            assert socket.response is not None
            assert "session=" in socket.response.headers["Set-Cookie"]
            socket.send("hello")
            with pytest.raises(Exception, match="1000"):
                socket.recv()
        assert client.get("/count").json() == {"visits": 3, "said": "hello"}


def test_without_its_store(prefix: str) -> None:
    with run_redis() as redis_server:
        env = {
            "SESSIONSTORE_URL": f"{redis_server.url}?prefix={prefix}",
            "SESSIONSTORE_SECRET_KEY": KEY,
        }
        with serve_asgi("tests.asgi_adapter.served:app", env=env) as server:
            with httpx.Client(base_url=server.url) as client:
                client.get("/count")
                cookie = f"session={client.cookies['session']}"
                redis_server.child.stop()
                answer = client.get("/count")
                assert answer.status_code == 503
                assert "set-cookie" not in answer.headers
                assert answer.headers["retry-after"]
                assert client.get("/").status_code == 503
                assert httpx.get(f"{server.url}/").status_code == 200
            where = server.url.replace("http", "ws", 1) + "/ws"
            with pytest.raises(InvalidStatus) as denied:
                connect(where, additional_headers={"Cookie": cookie})
            assert denied.value.response.status_code == 503
