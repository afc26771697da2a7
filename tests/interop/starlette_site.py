"""uvicorn tests.interop.starlette_site:app"""

from __future__ import annotations

import os
from typing import Any, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sessionstore.asgi import SessionMiddleware
from tests.interop import values


async def read(request: Request) -> Response:
    return JSONResponse(values.read(request.session))


async def write(request: Request) -> Response:
    values.write(request.session)
    return Response()


async def change(request: Request) -> Response:
    values.change(request.session)
    return Response()


async def login(request: Request) -> Response:
    cast(Any, request.session).login(request.path_params["user"])
    return Response()


app = Starlette(
    routes=[
        Route("/read", read),
        Route("/write", write, methods=["POST"]),
        Route("/change", change, methods=["POST"]),
        Route("/login/{user}", login, methods=["POST"]),
    ],
    middleware=[
        Middleware(
            SessionMiddleware,
            secret_key=values.SECRET,
            url=os.environ["SESSIONSTORE_URL"],
            session_cookie=values.COOKIE,
        )
    ],
)
