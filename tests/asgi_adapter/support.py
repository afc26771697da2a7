"""ASGI applications under our middleware, called as a server would call them."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sessionstore import MemoryStore, Store
from sessionstore.asgi import SessionMiddleware
from tests.core.support import Clock
from tests.support.scripted_store import ScriptedStore

with warnings.catch_warnings():
    # It would rather have httpx2; authlib, which has a test here, needs httpx.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

__all__ = ["DAY", "KEY", "NAME", "Clock", "Reply", "Site", "TestClient"]

KEY = "the secret of these tests: 32 bytes or more"
NAME = "session"
DAY = 86400.0

Message = dict[str, Any]
View = Callable[[Any], Any]
"""What a test does with the session; may be a coroutine function."""


@dataclass
class Reply:
    """What a server was told by an application.

    :param received: the types of the messages that the application took from the server
    :param error: what the application raised
    """

    messages: list[Message] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    @property
    def start(self) -> Message:
        """The message that began the response; for a WebSocket the accept or the denial."""
        return self.messages[0]

    @property
    def status(self) -> int:
        status: int = self.start["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    def header(self, name: str) -> str | None:
        """A header's values, joined; None if there are none."""
        wanted = name.lower().encode()
        values = [value.decode() for key, value in self.start["headers"] if key == wanted]
        return ", ".join(values) if values else None

    @property
    def cookie(self) -> str | None:
        """The Set-Cookie header, whole."""
        return self.header("set-cookie")

    @property
    def token(self) -> str:
        """The value of the cookie that was set."""
        assert self.cookie is not None
        return self.cookie.partition(";")[0].partition("=")[2]

    @property
    def deletes(self) -> bool:
        return self.cookie is not None and self.cookie.startswith(f"{NAME}=null; ")


def scope_of(kind: str, cookie: str | Iterable[bytes] | None, **more: Any) -> dict[str, Any]:
    """A connection's scope.

    :param cookie: a token, or whole Cookie headers
    """
    if isinstance(cookie, str):
        cookie = [f"{NAME}={cookie}".encode("latin-1")]
    headers = [(b"host", b"testserver"), *((b"cookie", value) for value in cookie or ())]
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http" if kind == "http" else "ws",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "subprotocols": [],
        "extensions": {},
        "state": {},
        **more,
    }


async def call(app: Any, scope: dict[str, Any], *incoming: Message) -> Reply:
    """Call an application and give it these messages; what comes after them never comes."""
    reply, waiting = Reply(), iter(incoming)

    async def receive() -> Message:
        for message in waiting:
            reply.received.append(message["type"])
            return message
        await asyncio.Event().wait()  # forever
        raise AssertionError

    async def send(message: Message) -> None:
        reply.messages.append(message)

    try:
        await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001 (the test looks at it)
        reply.error = error
    return reply


class Site:
    """A store that can fail, a clock that stands, and a plain application.

    :param app: the application; without one, ``view`` of each request is called and answered 200
    :param settings: of the middleware
    """

    def __init__(self, app: Any = None, *, store: Store | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.reports: list[str] = []
        self.store = ScriptedStore(store or MemoryStore(clock=self.clock))
        settings = {
            "secret_key": KEY,
            "store": self.store,
            "clock": self.clock,
            "on_report": lambda what, handle: self.reports.append(what),
            **settings,
        }
        self.app = SessionMiddleware(app or self._answer, **settings)
        self.settings = settings
        self._view: View | None = None

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        assert self._view is not None
        result = self._view(scope["session"])
        if result is not None and hasattr(result, "__await__"):
            await result
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async def get(
        self, view: View | None = None, cookie: str | Iterable[bytes] | None = None, **more: Any
    ) -> Reply:
        """One request.

        :param view: what the default application does with the session
        """
        self._view = view
        return await call(self.app, scope_of("http", cookie, **more), {"type": "http.request"})

    async def connect(
        self, *incoming: Message, cookie: str | Iterable[bytes] | None = None, **more: Any
    ) -> Reply:
        """One WebSocket, to which the client sends these after it has connected."""
        scope = scope_of("websocket", cookie, **more)
        return await call(self.app, scope, {"type": "websocket.connect"}, *incoming)

    async def begin(self, login: object = None, **attributes: Any) -> str:
        """A stored session's token."""
        session = self.app.manager.open(None)
        session.update(attributes or {"seen": 1})
        if login is not None:
            session.login(login)
        cookie = self.app.manager.commit(session)
        assert cookie is not None
        assert cookie.value is not None
        self.store.forget()
        return cookie.value

    def stored(self, token: str) -> dict[str, Any]:
        """What a later request reads."""
        values = dict(self.app.manager.open(token))
        self.store.verbs.pop()
        return values

    @property
    def verbs(self) -> list[str]:
        """The store commands since :meth:`begin`."""
        return self.store.verbs
