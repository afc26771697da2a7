"""A Flask app whose clock, store and view belong to the test."""

from __future__ import annotations

from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

from flask import Flask, Response
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sessionstore import MemoryStore, StoreUnavailable
from sessionstore.core import record
from sessionstore.core.flow import run
from sessionstore.core.record import Record
from sessionstore.core.sealing import Sealer
from sessionstore.flask import FlaskSession, SessionStore, session
from tests.core.support import Clock
from tests.support.scripted_store import ScriptedStore

KEY = "the secret of these tests: 32 bytes or more"
OLD_KEY = "the secret before it, of 32 bytes or more"
MINUTE, HOUR, DAY = 60, 3600, 86400
DOWN = StoreUnavailable("connection refused")

Action = Callable[[FlaskSession], Any]


class World:
    """One store, one clock, one app whose only view runs what a test says.

    :param config: for ``app.config``
    """

    def __init__(self, **config: Any) -> None:
        self.clock = Clock()
        self.memory = MemoryStore(clock=self.clock)
        self.store = ScriptedStore(self.memory)
        self.action: Action = lambda session: None
        self.reports: list[str] = []
        self.app = self.make_app(**config)
        self.client = self.app.test_client()

    def make_app(self, **config: Any) -> Flask:
        """Another app server on the same store."""
        app = Flask("tests.flask_adapter")
        app.config.update(
            {"SECRET_KEY": KEY, "SESSIONSTORE_STORE": self.store, "TESTING": True, **config}
        )
        SessionStore(app, clock=self.clock, on_report=lambda what, _: self.reports.append(what))

        @app.route("/", methods=["GET", "POST"])
        def view() -> Any:
            result = self.action(session)
            return result if isinstance(result, Response) else "done"

        return app

    def get(self, action: Action = lambda session: None, **arguments: Any) -> TestResponse:
        """A request whose view does this; the store's commands are counted from here on."""
        self.action = action
        self.store.forget()
        client: FlaskClient = arguments.pop("client", self.client)
        return client.get("/", **arguments)

    def read(self, name: str, client: FlaskClient | None = None) -> Any:
        """What a request reads."""
        found = []
        self.get(lambda session: found.append(session.get(name)), client=client or self.client)
        return found[0]

    def other(self, app: Flask | None = None) -> FlaskClient:
        """Another tab, or another app server: a client with the same cookie now."""
        client = (app or self.app).test_client()
        if self.token is not None:
            client.set_cookie("session", self.token)
        return client

    @property
    def token(self) -> str | None:
        """The cookie that the client holds."""
        cookie = self.client.get_cookie("session")
        return None if cookie is None else cookie.value

    @property
    def stored(self) -> Record:
        """The client's record."""
        assert self.token is not None
        flow = self.memory.load(self.memory.key(self.token[:16]))
        entry = run(flow, lambda command: self.memory.execute(command, 0.0))
        assert entry is not None
        return record.decode(entry.value, self.token[:16], Sealer((KEY.encode(),)))

    @property
    def size(self) -> int:
        """How many sessions are stored."""
        return len(list(self.memory.keys()))


def cookies_of(response: Response) -> list[Any]:
    """The Set-Cookie headers for the session, parsed."""
    headers = response.headers.getlist("Set-Cookie")
    found = [SimpleCookie(header).get("session") for header in headers]
    return [morsel for morsel in found if morsel is not None]


def cookie_of(response: Response) -> Any:
    """The only Set-Cookie header for the session, parsed."""
    [morsel] = cookies_of(response)
    return morsel


def deletes_cookie(response: Response) -> bool:
    """Whether the response deletes the session's cookie."""
    found = cookies_of(response)
    return len(found) == 1 and found[0]["max-age"] == "0" and found[0].value == ""


def untouched(response: Response) -> bool:
    """Whether the response leaves the session's cookie alone."""
    return not cookies_of(response)
