"""The same small site in Flask, Django and Starlette, for tests that must hold in all three.

A request carries an *action*: a function of the session that the view calls. It runs in this
process, so that a test can interleave requests (an action may make another request) and look at
exceptions; but cookies, headers and bodies go through each framework whole, as raw bytes.
"""

from __future__ import annotations

import functools
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from sessionstore import Store, open_store
from tests.support.calling import COOKIE, Answer, asgi_send, run_in_thread, wsgi_send
from tests.support.cancelling import cancellable

SECRET = "a secret of thirty-two bytes or more, for tests"
MARK = {"m": "never-to-be-shown"}
"""An attribute that :func:`begun` adds to sessions: nothing may print its value."""

Action = Callable[[Any], Any]
Observer = Callable[["Site", "bytes | None", Answer], None]
observers: list[Observer] = []
"""Told of each request when it is over: which site's, its Cookie header, the answer."""

_actions: dict[str, tuple[Action, dict[str, Any]]] = {}
_numbers = itertools.count()


def run_action(number: str, session: Any) -> None:
    """What each site's view does."""
    action, outcome = _actions[number]
    try:
        outcome["result"] = action(session)
    except BaseException as error:
        outcome["error"] = error
        raise


def print_session(number: str, session: Any) -> None:
    """Note what would be seen of a session if somebody printed it, and what it knows.

    Not where that would count as the application's use of the session.
    """
    state = getattr(session, "state", None) or getattr(session, "_state", None)
    parts = [session, str(session), state]
    parts += [getattr(state, name, None) for name in ("token", "record", "failure", "reports")]
    _actions[number][1]["reprs"] = [repr(part) for part in parts]


def begun(site: Site, **values: Any) -> Browser:
    """Somebody whose session holds these values, and :data:`MARK`."""
    browser = site.browser()
    browser.do(lambda session: session.update(MARK | values))
    return browser


def look(session: Any) -> dict[str, Any]:
    """What a session holds, without :data:`MARK`."""
    return {name: value for name, value in session.items() if name not in MARK}


class Site(ABC):
    """One framework's site.

    :param store: an open store, or a URL to open here
    :param cookie_name: with the prefix ``__Host-`` the cookie gets what that needs
    :param settings: ``SessionConfig`` settings in lower case, and ``secret_key_fallbacks``
    """

    name: str

    def __init__(
        self,
        store: Store | str,
        secret: str = SECRET,
        cookie_name: str = COOKIE,
        **settings: Any,
    ) -> None:
        self._owned = isinstance(store, str)
        self.store = open_store(store) if isinstance(store, str) else store
        self.secret = secret
        self.cookie_name = cookie_name
        self.secure = cookie_name.startswith("__Host-")
        self.settings = settings

    def request(self, action: Action, cookie: bytes | None = None) -> Answer:
        """Send one request whose view runs this action.

        :param cookie: the whole raw Cookie header
        """
        with self._carrying(action, cookie) as (number, answers):
            answers.append(self.send(number, cookie))
        return answers[0]

    @contextmanager
    def _carrying(self, action: Action, cookie: bytes | None) -> Iterator[tuple[str, list[Answer]]]:
        """The action's number; to the answer is added what became of it."""
        number, answers = str(next(_numbers)), list[Answer]()
        outcome: dict[str, Any] = {}
        _actions[number] = (action, outcome)
        try:
            yield number, answers
        finally:
            del _actions[number]
        answer = answers[0]
        answer.cookie_name = self.cookie_name
        answer.result = outcome.get("result")
        answer.error = outcome.get("error", answer.error)
        answer.reprs = outcome.get("reprs", [])
        for observer in observers:
            observer(self, cookie, answer)

    @abstractmethod
    def send(self, number: str, cookie: bytes | None) -> Answer:
        """Carry the request through the framework."""

    def serving(self) -> AbstractContextManager[None]:
        """Many requests are quicker in this block, and may come from many threads."""
        return nullcontext()

    def close(self) -> None:
        """Release what the site holds."""
        if self._owned:
            run_in_thread(self.store.aclose())

    def browser(self) -> Browser:
        """A client with a cookie jar."""
        return Browser(self)


class AsyncSite(Site):
    """A site that runs on an event loop: each request on a new one, or many on one."""

    def send(self, number: str, cookie: bytes | None) -> Answer:
        answer: Answer = run_in_thread(self.asend(number, cookie))
        return answer

    async def arequest(self, action: Action, cookie: bytes | None = None) -> Answer:
        """:meth:`request` on the loop that runs."""
        with self._carrying(action, cookie) as (number, answers):
            answers.append(await self.asend(number, cookie))
        return answers[0]

    @abstractmethod
    async def asend(self, number: str, cookie: bytes | None) -> Answer:
        """Carry the request through the framework."""


@dataclass
class Browser:
    """Keeps the session's cookie as a browser does."""

    site: Site
    cookie: str | None = None
    last: Answer | None = field(default=None, repr=False)

    def get(self, action: Action = lambda session: None) -> Answer:
        """Send a request and keep what it sets."""
        return self._keep(self.site.request(action, self._header()))

    async def aget(self, action: Action = lambda session: None) -> Answer:
        """:meth:`get` on the loop that runs."""
        assert isinstance(self.site, AsyncSite)
        return self._keep(await self.site.arequest(action, self._header()))

    def _header(self) -> bytes | None:
        return None if self.cookie is None else f"{self.site.cookie_name}={self.cookie}".encode()

    def _keep(self, answer: Answer) -> Answer:
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


class FlaskSite(Site):
    name = "flask"

    def __init__(self, store: Store | str, *arguments: str, **settings: Any) -> None:
        super().__init__(store, *arguments, **settings)
        settings = self.settings
        import flask

        from sessionstore.flask import SessionStore

        app = flask.Flask("site")
        app.config["SECRET_KEY"] = self.secret
        fallbacks = settings.pop("secret_key_fallbacks", None)
        if fallbacks is not None:
            app.config["SECRET_KEY_FALLBACKS"] = list(fallbacks)
        app.config["SESSION_COOKIE_NAME"] = self.cookie_name
        app.config["SESSION_COOKIE_SECURE"] = self.secure
        app.config["SESSIONSTORE_STORE"] = self.store
        app.config.update({f"SESSIONSTORE_{name.upper()}": settings[name] for name in settings})
        SessionStore(app)

        @app.get("/")
        def view() -> str:
            run_action(flask.request.headers["X-Action"], flask.session)
            return "done"

        @app.teardown_request
        def end(error: BaseException | None) -> None:
            print_session(flask.request.headers["X-Action"], flask.session)

        self.app = app

    def send(self, number: str, cookie: bytes | None) -> Answer:
        return wsgi_send(self.app.wsgi_app, number, cookie)


class StarletteSite(AsyncSite):
    name = "starlette"

    def __init__(self, store: Store | str, *arguments: str, **settings: Any) -> None:
        super().__init__(store, *arguments, **settings)
        settings = self.settings
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, Response
        from starlette.routing import Route

        from sessionstore.asgi import SessionMiddleware

        async def view(request: Request) -> Response:
            # Not `request.session`, which says by itself that the session was accessed.
            try:
                run_action(request.headers["X-Action"], request.scope["session"])
            finally:
                print_session(request.headers["X-Action"], request.scope["session"])
            return PlainTextResponse("done")

        self.app = Starlette(
            routes=[Route("/", view)],
            middleware=[
                Middleware(
                    SessionMiddleware,
                    secret_key=self.secret,
                    session_cookie=self.cookie_name,
                    https_only=self.secure,
                    store=self.store,
                    **settings,
                )
            ],
        )
        # Starlette leaves this to the first request, or the server's lifespan.
        self.app.middleware_stack = self.app.build_middleware_stack()

    async def asend(self, number: str, cookie: bytes | None) -> Answer:
        return await cancellable(asgi_send(self.app, number, cookie))


class DjangoSite(Site):
    """Django under our middleware, on WSGI."""

    name = "django"
    middleware: tuple[str, ...] = ("sessionstore.django.SessionMiddleware",)

    def __init__(self, store: Store | str, *arguments: str, **settings: Any) -> None:
        super().__init__(store, *arguments, **settings)
        settings = self.settings
        from tests.support import django_project

        django_project.configure()
        from django.test import override_settings
        from django.urls import path

        # Django's own way to have a read count as activity, and its name for the keys.
        every = settings.pop("touch_on_read", False)
        fallbacks = list(settings.pop("secret_key_fallbacks", ()))
        self._override = functools.partial(
            override_settings,
            ROOT_URLCONF=(path("", self._make_view()),),
            MIDDLEWARE=list(self.middleware),
            SECRET_KEY=self.secret,
            SECRET_KEY_FALLBACKS=fallbacks,
            SESSION_ENGINE="sessionstore.django",
            SESSION_COOKIE_NAME=self.cookie_name,
            SESSION_COOKIE_SECURE=self.secure,
            SESSION_SAVE_EVERY_REQUEST=every,
            SESSIONSTORE={"STORE": self.store}
            | {name.upper(): settings[name] for name in settings},
        )
        self._lock = threading.Lock()
        self._requests = 0
        self._overriding: Any = None
        with self.serving():
            self._handler = self._make_handler()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Settings are the process's: the first of several requests sets them, the last unsets."""
        with self._lock:
            self._requests += 1
            if self._requests == 1:
                self._overriding = self._override()
                self._overriding.enable()
        try:
            yield
        finally:
            with self._lock:
                self._requests -= 1
                if not self._requests:
                    self._overriding.disable()

    def _make_handler(self) -> Any:
        from django.core.handlers.wsgi import WSGIHandler

        return WSGIHandler()

    def _make_view(self) -> Any:
        return self._respond

    def _respond(self, request: Any) -> Any:
        from django.http import HttpResponse

        try:
            run_action(request.headers["X-Action"], request.session)
        finally:
            print_session(request.headers["X-Action"], request.session)
        return HttpResponse("done")

    def send(self, number: str, cookie: bytes | None) -> Answer:
        with self.serving():
            return wsgi_send(self._handler, number, cookie)


class AsyncDjangoSite(AsyncSite, DjangoSite):
    """Django under our middleware, on ASGI."""

    name = "django-async"
    # Each request runs in a task of Django's own, so that is where it is cancelled.
    middleware = ("tests.support.cancelling.django_middleware", *DjangoSite.middleware)

    def _make_handler(self) -> Any:
        from django.core.handlers.asgi import ASGIHandler

        return ASGIHandler()

    def _make_view(self) -> Any:
        async def view(request: Any) -> Any:
            await request.session.aget("anything")  # the action finds it loaded
            return self._respond(request)

        return view

    async def asend(self, number: str, cookie: bytes | None) -> Answer:
        with self.serving():
            return await asgi_send(self._handler, number, cookie)
