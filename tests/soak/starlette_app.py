"""The soak's Starlette site: ``uvicorn tests.soak.starlette_app:app``."""

from __future__ import annotations

import asyncio
import os

from starlette import requests
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sessionstore.asgi import SessionMiddleware
from tests.soak.views import Request
from tests.support.calling import COOKIE


async def ready(request: requests.Request) -> Response:
    """Without a session."""
    return PlainTextResponse("ready")


async def view(asked: requests.Request) -> Response:
    """The same as in the other sites."""
    request = Request(asked.url.path, asked.url.query)
    request.look(asked.session)
    await asyncio.sleep(request.pause)
    request.act(asked.session)
    return JSONResponse(request.body, request.status)


app = Starlette(
    routes=[Route("/ready", ready), Route("/{path:path}", view)],
    middleware=[
        Middleware(
            SessionMiddleware,
            session_cookie=COOKIE,
            rotation_grace=int(os.environ["SOAK_GRACE"]),
        )
    ],
)
