"""The site in Starlette."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from benchmarks import data
from benchmarks.servers import HOST, Servers
from benchmarks.sites import BASE, LIFETIME, SECRET

Step = Callable[[Request], Awaitable[None]]


class Kind(NamedTuple):
    """How sessions come to this site.

    :param load: what a view awaits before it uses the session
    :param rotate: what it awaits to rotate it
    """

    middleware: Middleware
    load: Step
    rotate: Step


async def _nothing(request: Request) -> None:
    return


def make(kind: str, servers: Servers) -> Starlette:
    """The application."""
    if kind == BASE:
        paths = ("/untouched", "/read", "/write", "/rotate")
        return _built(Starlette(routes=[Route(path, _ok) for path in paths]))
    middleware, load, rotate = SESSIONS[kind](servers)

    async def read(request: Request) -> Response:
        await load(request)
        request.session.get("user")
        return PlainTextResponse("ok")

    async def write(request: Request) -> Response:
        await load(request)
        request.session["n"] = request.session["n"] + 1
        return PlainTextResponse("ok")

    async def login(request: Request) -> Response:
        await load(request)
        await rotate(request)
        request.session["n"] = request.session["n"] + 1
        return PlainTextResponse("ok")

    async def fill(request: Request) -> Response:
        await load(request)
        request.session.update(data.wanted(request.query_params))
        return PlainTextResponse("ok")

    async def logout(request: Request) -> Response:
        await load(request)
        request.session.clear()
        return PlainTextResponse("ok")

    async def show(request: Request) -> Response:
        await load(request)
        return JSONResponse(dict(request.session))

    views = {
        "/read": read,
        "/write": write,
        "/rotate": login,
        "/fill": fill,
        "/logout": logout,
        "/show": show,
    }
    return _built(
        Starlette(
            routes=[
                Route("/untouched", _ok),
                *(Route(path, view) for path, view in views.items()),
            ],
            middleware=[middleware],
        )
    )


def _built(app: Starlette) -> Starlette:
    # Left to the server's lifespan otherwise, which there is none of in a worker.
    app.middleware_stack = app.build_middleware_stack()
    return app


async def _ok(request: Request) -> Response:
    return PlainTextResponse("ok")


def _ours(url: str, load: str = "auto") -> Kind:
    from sessionstore.asgi import SessionMiddleware

    async def load_it(request: Request) -> None:
        await request.session.load()  # type: ignore[attr-defined]  # ours has it

    async def rotate(request: Request) -> None:
        request.session.rotate()  # type: ignore[attr-defined]

    ours: Any = SessionMiddleware
    middleware = Middleware(ours, secret_key=SECRET, url=url, max_age=LIFETIME, load=load)
    return Kind(middleware, load_it if load == "manual" else _nothing, rotate)


def _cookie(servers: Servers) -> Kind:
    from starlette.middleware.sessions import SessionMiddleware

    middleware = Middleware(SessionMiddleware, secret_key=SECRET, max_age=LIFETIME)
    return Kind(middleware, _nothing, _nothing)


def _starsessions(servers: Servers) -> Kind:
    from redis.asyncio import Redis
    from starsessions import SessionMiddleware, load_session, regenerate_session_id
    from starsessions.stores.redis import RedisStore

    store = RedisStore(connection=Redis(host=HOST, port=servers.redis_port))
    middleware = Middleware(
        SessionMiddleware, store=store, lifetime=LIFETIME, cookie_https_only=False
    )

    async def rotate(request: Request) -> None:
        regenerate_session_id(request)

    return Kind(middleware, load_session, rotate)


SESSIONS: Final[dict[str, Callable[[Servers], Kind]]] = {
    "sessionstore": lambda servers: _ours(servers.redis_url),
    "sessionstore-manual": lambda servers: _ours(servers.redis_url, load="manual"),
    "sessionstore-memcached": lambda servers: _ours(servers.memcached_url),
    "sessionstore-memory": lambda servers: _ours("memory://"),
    "cookie": _cookie,
    "starsessions": _starsessions,
}
