"""Django in this process, on a memory store that writes down what it is asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from inspect import isawaitable
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import override_settings
from django.urls import path

from sessionstore import MemoryStore, StoreUnavailable
from sessionstore.core.flow import Command
from tests.support import django_project
from tests.support.calling import Answer, asgi_send, wsgi_send

django_project.configure()


STOCK = "django.contrib.sessions.middleware.SessionMiddleware"
OURS = "sessionstore.django.SessionMiddleware"

View = Callable[[HttpRequest], Any]


class RecordingStore(MemoryStore):
    """Keeps the verbs that it executes; fails while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.verbs: list[str] = []
        self.down = False
        self.fails_on: set[str] = set()
        self.async_threads: set[int] = set()
        self.sync_calls = 0

    def execute(self, command: Command[Any], deadline: float) -> Any:
        self.sync_calls += 1
        return self._answer(command, deadline)

    async def aexecute(self, command: Command[Any], deadline: float) -> Any:
        self.async_threads.add(threading.get_ident())
        return self._answer(command, deadline)

    def _answer(self, command: Command[Any], deadline: float) -> Any:
        verb = command.request[0]
        self.verbs.append(verb)
        if self.down or verb in self.fails_on:
            raise StoreUnavailable("down for this test")
        return super().execute(command, deadline)

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """The verbs executed in this block."""
        before = len(self.verbs)
        counted: list[str] = []
        yield counted
        counted.extend(self.verbs[before:])


@pytest.fixture(autouse=True)
def store() -> Iterator[RecordingStore]:
    """This test's store, which every session object and request of the test uses."""
    store = RecordingStore()
    with override_settings(SESSIONSTORE={"STORE": store}):
        yield store


class Site:
    """A Django project of one view, called over WSGI or ASGI with a raw Cookie header."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.handler = WSGIHandler() if mode == "wsgi" else ASGIHandler()

    def get(self, key: str | None = None, *, header: str | None = None) -> Answer:
        """Send a request.

        :param key: the session's cookie
        :param header: the whole Cookie header instead
        """
        if key is not None:
            header = f"sessionid={key}"
        cookie = None if header is None else header.encode("latin-1")
        if self.mode == "wsgi":
            return wsgi_send(self.handler, "", cookie)
        return asyncio.run(asgi_send(self.handler, "", cookie))


MakeSite = Callable[..., Site]


@pytest.fixture(params=["wsgi", "asgi"])
def make_site(request: pytest.FixtureRequest) -> Iterator[MakeSite]:
    """Makes a site whose view calls a function of the request; what it returns is the body."""
    mode: str = request.param

    def make(action: View, *middleware: str, **settings: Any) -> Site:
        def respond(result: Any) -> HttpResponseBase:
            return result if isinstance(result, HttpResponseBase) else HttpResponse(str(result))

        async def async_view(request: HttpRequest) -> HttpResponseBase:
            result = action(request)
            return respond(await result if isawaitable(result) else result)

        def sync_view(request: HttpRequest) -> HttpResponseBase:
            return respond(action(request))

        view = sync_view if mode == "wsgi" else async_view
        stack.enter_context(
            override_settings(
                ROOT_URLCONF=(path("", view),), MIDDLEWARE=list(middleware or [OURS]), **settings
            )
        )
        return Site(mode)

    with ExitStack() as stack:
        yield make


@pytest.fixture(scope="session")
def database() -> None:
    """The tables of contrib.auth."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
