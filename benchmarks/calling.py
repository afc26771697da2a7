"""Calls a site as its server would, and keeps its cookies. Only the call itself is timed."""

from __future__ import annotations

import asyncio
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from time import perf_counter
from typing import Any, Final, NamedTuple

KINDS: Final = ("anonymous", "untouched", "read", "write", "rotate")
"""What a request does with its session; ``anonymous`` reads without a cookie."""

COUNTED: Final = ("junk", "new", "logout")
"""More of them, of which only the store commands are counted; ``junk`` has a cookie that no site
has signed."""
ALL_KINDS: Final = (*KINDS, *COUNTED)


class Reply(NamedTuple):
    """What a request got, and how long it took in seconds."""

    took: float
    body: bytes
    set_cookies: list[str]


class Caller(ABC):
    """Sends requests one after another."""

    @abstractmethod
    def call(self, path: str, query: str, cookie: str) -> Reply:
        """One request; anything but 200 is an error."""


class WsgiCaller(Caller):
    def __init__(self, app: Any) -> None:
        self._app = app

    def call(self, path: str, query: str, cookie: str) -> Reply:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if cookie:
            environ["HTTP_COOKIE"] = cookie
        began: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc: Any = None) -> None:
            began.extend((status, headers))

        start = perf_counter()
        body = self._app(environ, start_response)
        content = b"".join(body)
        if hasattr(body, "close"):
            body.close()
        took = perf_counter() - start
        status, headers = began
        return _reply(path, took, int(status[:3]), content, headers)


class AsgiCaller(Caller):
    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop

    def call(self, path: str, query: str, cookie: str) -> Reply:
        return self._loop.run_until_complete(self._call(path, query, cookie))

    async def _call(self, path: str, query: str, cookie: str) -> Reply:
        headers = [(b"host", b"localhost")]
        if cookie:
            headers.append((b"cookie", cookie.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
            "state": {},
        }
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        start = perf_counter()
        await self._app(scope, receive, send)
        took = perf_counter() - start
        texts = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in messages[0]["headers"]]
        content = b"".join(message.get("body", b"") for message in messages[1:])
        return _reply(path, took, messages[0]["status"], content, texts)


def _reply(
    path: str, took: float, status: int, content: bytes, headers: Iterable[tuple[str, str]]
) -> Reply:
    if status != 200:
        raise RuntimeError(f"{path}: {status} {content[:500]!r}")
    cookies = [value.strip() for name, value in headers if name.lower() == "set-cookie"]
    return Reply(took, content, cookies)


class Browser:
    """One user: a cookie jar in front of a site."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._jar: dict[str, str] = {}

    @property
    def cookie(self) -> str:
        """The Cookie header."""
        return "; ".join(f"{name}={value}" for name, value in self._jar.items())

    @property
    def junk(self) -> str:
        """The same with another character at the end of each value."""
        altered = (
            f"{name}={value[:-1]}{'A' if value[-1] != 'A' else 'B'}"
            for name, value in self._jar.items()
        )
        return "; ".join(altered)

    def get(self, path: str, query: str = "") -> Reply:
        """A request, whose cookies are kept."""
        reply = self._caller.call(path, query, self.cookie)
        for text in reply.set_cookies:
            name, _, value = text.partition(";")[0].partition("=")
            self._jar[name] = value
        return reply

    def show(self) -> dict[str, Any]:
        """What the session holds."""
        found: dict[str, Any] = json.loads(self.get("/show").body)
        return found

    def do(self, kind: str) -> float:
        """A request of this kind; seconds."""
        if kind == "anonymous":
            return self._caller.call("/read", "", "").took
        if kind == "new":
            return self._caller.call("/fill", "", "").took
        if kind == "junk":
            return self._caller.call("/read", "", self.junk).took
        return self.get(f"/{kind}").took
