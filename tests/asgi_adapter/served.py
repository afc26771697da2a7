"""A small application for a real server: ``uvicorn tests.asgi_adapter.served:app``."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from sessionstore.asgi import SessionMiddleware


async def ready(request: Request) -> Response:
    return PlainTextResponse("ready")


async def count(request: Request) -> Response:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session)


async def chat(websocket: WebSocket) -> None:
    websocket.session["visits"] = websocket.session.get("visits", 0) + 1
    await websocket.accept()
    websocket.session["said"] = await websocket.receive_text()
    await websocket.close()


app = Starlette(
    routes=[Route("/", ready), Route("/count", count), WebSocketRoute("/ws", chat)],
)
app.add_middleware(SessionMiddleware)  # all from the environment
