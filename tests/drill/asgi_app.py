"""The drill's ASGI site: ``uvicorn tests.drill.asgi_app:app``, the store from the environment."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from sessionstore.asgi import SessionMiddleware
from tests.drill.views import respond
from tests.support.calling import COOKIE

Message = MutableMapping[str, Any]


async def site(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Plain ASGI: what is measured is the session, not a framework."""
    if scope["type"] != "http":
        return
    status, body = respond(scope["path"], scope["session"])
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


app = SessionMiddleware(site, session_cookie=COOKIE)
