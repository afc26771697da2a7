"""Calls a WSGI or an ASGI application with raw bytes, as a server would."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

COOKIE = "sid"


@dataclass
class Answer:
    """What a request got.

    :param result: what the action returned; None if it was not reached
    :param reprs: of the session, when the action was over
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    result: Any = None
    error: BaseException | None = None
    reprs: list[str] = field(default_factory=list)
    cookie_name: str = COOKIE

    def header(self, name: str) -> str | None:
        """All values of a header, joined; None if there are none."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def set_cookies(self) -> list[str]:
        """Every Set-Cookie of the session's cookie."""
        return [
            value.strip()  # Django's own begins with a space
            for key, value in self.headers
            if key.lower() == "set-cookie" and value.strip().startswith(f"{self.cookie_name}=")
        ]

    @property
    def varies(self) -> bool:
        """Whether the answer varies by cookie."""
        return "cookie" in (self.header("Vary") or "").lower()


def wsgi_send(app: Any, number: str, cookie: bytes | None) -> Answer:
    """Call a WSGI app."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "testserver",
        "HTTP_X_ACTION": number,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if cookie is not None:
        environ["HTTP_COOKIE"] = cookie.decode("latin-1")
    began: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        began.update(status=int(status.split(maxsplit=1)[0]), headers=list(headers))

    body = app(environ, start_response)
    try:
        content = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return Answer(began["status"], began["headers"], content)


async def asgi_send(app: Any, number: str, cookie: bytes | None) -> Answer:
    """Call an ASGI app."""
    headers = [(b"host", b"testserver"), (b"x-action", number.encode())]
    if cookie is not None:
        headers.append((b"cookie", cookie))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "state": {},
    }
    answer = Answer(0, [], b"")
    requested = False

    async def receive() -> dict[str, Any]:
        nonlocal requested
        if requested:
            await asyncio.Event().wait()
        requested = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [
                (key.decode("latin-1"), value.decode("latin-1"))
                for key, value in message.get("headers", [])
            ]
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")

    try:
        await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001 - as a server does
        # A server answers 500 if nothing was sent yet; Starlette has done so and raises again.
        answer.error = error
        answer.status = answer.status or 500
    return answer


def run_in_thread(coroutine: Any) -> Any:
    """Run a coroutine on an event loop of its own, also from inside another one."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, coroutine).result()
