"""The same small site in Flask, Django and Starlette, for tests that must hold in all three.

A request carries an *action*: a function of the session that the view calls. It runs in this
process, so that a test can interleave requests (an action may make another request) and look at
exceptions; but cookies, headers and bodies go through each framework whole, as raw bytes.
"""

from __future__ import annotations

import asyncio
import functools
import io
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sessionstore import Store, open_store

SECRET = "a secret of thirty-two bytes or more, for tests"
COOKIE = "sid"

Action = Callable[[Any], Any]
_actions: dict[str, tuple[Action, dict[str, Any]]] = {}
_numbers = itertools.count()


@dataclass
class Answer:
    """What a request got.

    :param result: what the action returned; None if it was not reached
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    result: Any = None
    error: BaseException | None = None

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
            if key.lower() == "set-cookie" and value.strip().startswith(f"{COOKIE}=")
        ]

    @property
    def varies(self) -> bool:
        """Whether the answer varies by cookie."""
        return "cookie" in (self.header("Vary") or "").lower()


def run_action(number: str, session: Any) -> None:
    """What each site's view does."""
    action, outcome = _actions[number]
    try:
        outcome["result"] = action(session)
    except BaseException as error:
        outcome["error"] = error
        raise


class Site(ABC):
    """One framework's site.

    :param store: an open store, or a URL to open here
    :param settings: ``SessionConfig`` settings in lower case, and ``secret_key_fallbacks``
    """

    name: str

    def __init__(self, store: Store | str, secret: str = SECRET, **settings: Any) -> None:
        self._owned = isinstance(store, str)
        self.store = open_store(store) if isinstance(store, str) else store
        self.secret = secret
        self.settings = settings

    def request(self, action: Action, cookie: bytes | None = None) -> Answer:
        """Send one request whose view runs this action.

        :param cookie: the whole raw Cookie header
        """
        number = str(next(_numbers))
        outcome: dict[str, Any] = {}
        _actions[number] = (action, outcome)
        try:
            answer = self.send(number, cookie)
        finally:
            del _actions[number]
        answer.result = outcome.get("result")
        answer.error = outcome.get("error", answer.error)
        return answer

    @abstractmethod
    def send(self, number: str, cookie: bytes | None) -> Answer:
        """Carry the request through the framework."""

    def close(self) -> None:
        """Release what the site holds."""
        if self._owned:
            run_in_thread(self.store.aclose())

    def browser(self) -> Browser:
        """A client with a cookie jar."""
        return Browser(self)


@dataclass
class Browser:
    """Keeps the session's cookie as a browser does."""

    site: Site
    cookie: str | None = None
    last: Answer | None = field(default=None, repr=False)

    def get(self, action: Action = lambda session: None) -> Answer:
        """Send a request and keep what it sets."""
        header = None if self.cookie is None else f"{COOKIE}={self.cookie}".encode()
        answer = self.site.request(action, header)
        for value in answer.set_cookies:
            self.cookie = cookie_value(value)
        self.last = answer
        return answer

    def do(self, action: Action) -> Any:
        """:meth:`get`, for what the action returned."""
        answer = self.get(action)
        assert answer.status == 200, (answer.status, answer.body, answer.error)
        return answer.result

    def copy(self) -> Browser:
        """Another tab (or a thief) with the same cookie now."""
        return Browser(self.site, self.cookie)


def cookie_value(set_cookie: str) -> str | None:
    """The value that a Set-Cookie leaves in the jar; None where it deletes."""
    pair, *attributes = set_cookie.split(";")
    value = pair.partition("=")[2].strip()
    for attribute in attributes:
        name, _, text = attribute.strip().partition("=")
        if name.lower() == "max-age" and int(text) <= 0:
            return None
        if name.lower() == "expires" and "1970" in text:
            return None
    return value


# -- the three --


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
    result: list[Any] = []

    def work() -> None:
        result.append(asyncio.run(coroutine))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result[0]


class FlaskSite(Site):
    name = "flask"

    def __init__(self, store: Store | str, secret: str = SECRET, **settings: Any) -> None:
        super().__init__(store, secret, **settings)
        import flask

        from sessionstore.flask import SessionStore

        app = flask.Flask("site")
        app.config["SECRET_KEY"] = secret
        fallbacks = settings.pop("secret_key_fallbacks", None)
        if fallbacks is not None:
            app.config["SECRET_KEY_FALLBACKS"] = list(fallbacks)
        app.config["SESSION_COOKIE_NAME"] = COOKIE
        app.config["SESSIONSTORE_STORE"] = self.store
        app.config.update({f"SESSIONSTORE_{name.upper()}": settings[name] for name in settings})
        SessionStore(app)

        @app.get("/")
        def view() -> str:
            run_action(flask.request.headers["X-Action"], flask.session)
            return "done"

        self.app = app

    def send(self, number: str, cookie: bytes | None) -> Answer:
        return wsgi_send(self.app.wsgi_app, number, cookie)


class StarletteSite(Site):
    name = "starlette"

    def __init__(self, store: Store | str, secret: str = SECRET, **settings: Any) -> None:
        super().__init__(store, secret, **settings)
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, Response
        from starlette.routing import Route

        from sessionstore.asgi import SessionMiddleware

        async def view(request: Request) -> Response:
            # Not `request.session`, which says by itself that the session was accessed.
            run_action(request.headers["X-Action"], request.scope["session"])
            return PlainTextResponse("done")

        self.app = Starlette(
            routes=[Route("/", view)],
            middleware=[
                Middleware(
                    SessionMiddleware,
                    secret_key=secret,
                    session_cookie=COOKIE,
                    store=self.store,
                    **settings,
                )
            ],
        )

    def send(self, number: str, cookie: bytes | None) -> Answer:
        answer: Answer = run_in_thread(asgi_send(self.app, number, cookie))
        return answer


class DjangoSite(Site):
    """Django under our middleware."""

    name = "django"
    middleware = "sessionstore.django.SessionMiddleware"

    def __init__(self, store: Store | str, secret: str = SECRET, **settings: Any) -> None:
        super().__init__(store, secret, **settings)
        from tests.support import django_project

        django_project.configure()
        from django.core.handlers.wsgi import WSGIHandler
        from django.http import HttpRequest, HttpResponse
        from django.test import override_settings
        from django.urls import path

        def view(request: HttpRequest) -> HttpResponse:
            run_action(request.headers["X-Action"], request.session)
            return HttpResponse("done")

        # Django's own way to have a read count as activity, and its name for the keys.
        every = settings.pop("touch_on_read", False)
        fallbacks = list(settings.pop("secret_key_fallbacks", ()))
        self._overridden = functools.partial(
            override_settings,
            ROOT_URLCONF=(path("", view),),
            MIDDLEWARE=[self.middleware],
            SECRET_KEY=secret,
            SECRET_KEY_FALLBACKS=fallbacks,
            SESSION_ENGINE="sessionstore.django",
            SESSION_COOKIE_NAME=COOKIE,
            SESSION_SAVE_EVERY_REQUEST=every,
            SESSIONSTORE={"STORE": self.store}
            | {name.upper(): settings[name] for name in settings},
        )
        with self._overridden():
            self._handler = WSGIHandler()

    def send(self, number: str, cookie: bytes | None) -> Answer:
        with self._overridden():
            return wsgi_send(self._handler, number, cookie)
