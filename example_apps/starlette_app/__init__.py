"""The shop with Starlette.

uvicorn example_apps.starlette_app:app
"""

from __future__ import annotations

import os
from typing import cast

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Receive, Scope, Send

from example_apps import shop
from sessionstore import Session
from sessionstore.asgi import SessionMiddleware

templates = Jinja2Templates(shop.TEMPLATES)


def session_of(request: Request) -> Session:
    """Starlette's session, with what sessionstore adds: subject, handle, login(), logout()."""
    return cast(Session, request.session)


async def home(request: Request) -> Response:
    names = ("home", "whoami", "login", "logout", "visit", "cart")
    urls = {name: request.url_for(name).path for name in names}
    urls["style"] = request.url_for("static", path="style.css").path
    context = shop.page("starlette", session_of(request), urls)
    return templates.TemplateResponse(request, "shop.html", context)


async def whoami(request: Request) -> Response:
    return JSONResponse(shop.whoami("starlette", session_of(request)))


async def login(request: Request) -> Response:
    session_of(request).login(shop.clean(await field(request, "user"), "user"))
    return back_home(request)


async def logout(request: Request) -> Response:
    session_of(request).logout()
    return back_home(request)


async def visit(request: Request) -> Response:
    shop.visit(request.session)
    return back_home(request)


async def cart(request: Request) -> Response:
    item = shop.clean(await field(request, "item"), "item")
    shop.add_to_cart(request.session, item, "starlette")
    return back_home(request)


async def field(request: Request, name: str) -> str | None:
    """The text of a form's field, or None (also for a file)."""
    value = (await request.form()).get(name)
    return value if isinstance(value, str) else None


def back_home(request: Request) -> Response:
    return RedirectResponse(request.url_for("home").path, 303)


async def bad_form(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 400)


class RefuseOtherSites:
    """A 403 for what another site's page sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and shop.is_cross_site(
            scope["method"], Headers(scope=scope).get
        ):
            await PlainTextResponse(shop.REFUSED, 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


app = Starlette(
    routes=[
        Route("/", home, name="home"),
        Route("/whoami", whoami, name="whoami"),
        Route("/login", login, methods=["POST"], name="login"),
        Route("/logout", logout, methods=["POST"], name="logout"),
        Route("/visit", visit, methods=["POST"], name="visit"),
        Route("/cart", cart, methods=["POST"], name="cart"),
        Mount("/static", StaticFiles(directory=shop.STATIC), name="static"),
    ],
    middleware=[
        Middleware(RefuseOtherSites),
        Middleware(
            SessionMiddleware,
            secret_key=os.environ["SESSIONSTORE_SECRET_KEY"],
            url=os.environ["SESSIONSTORE_URL"],
            session_cookie=shop.COOKIE,
            path="/",
            merge=shop.MERGE,
        ),
    ],
    exception_handlers={shop.BadForm: bad_form},
)
