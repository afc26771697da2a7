"""The demo as one ASGI app: each shop under its own prefix, and a front page.

Served by ``python -m example_apps.demo`` (``make demo``), which sets what is needed first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from example_apps import flask_app, shop, starlette_app
from example_apps.django_app.asgi import application as django_app

APPS: dict[str, ASGIApp] = {
    # Flask speaks WSGI: it runs in threads of this process.
    "flask": cast(ASGIApp, WSGIMiddleware(cast(Any, flask_app.app))),
    "django": cast(ASGIApp, django_app),
    "starlette": starlette_app.app,
}


async def front_page(request: Request) -> Response:
    return FileResponse(Path(__file__).with_name("index.html"))


async def with_slash(request: Request) -> Response:
    return RedirectResponse(request.url.path + "/")


front = Starlette(
    routes=[
        Route("/", front_page),
        *(Route(f"/{name}", with_slash) for name in APPS),
        Mount("/static", StaticFiles(directory=shop.STATIC)),
    ]
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """``/flask/...`` goes to the Flask app, and so on."""
    if scope["type"] == "lifespan":
        await starlette_app.app(scope, receive, send)  # the only one of the three that has one
        return
    name, slash, _ = scope["path"].removeprefix("/").partition("/")
    if scope["type"] == "http" and slash and name in APPS:
        # With this each app finds its own routes, and builds addresses that lead back to it.
        await APPS[name]({**scope, "root_path": f"/{name}"}, receive, send)
    else:
        await front(scope, receive, send)
