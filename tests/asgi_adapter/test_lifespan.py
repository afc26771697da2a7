"""Start-up and shutdown of the application."""

from __future__ import annotations

from typing import Any

import pytest

from sessionstore import ConfigurationError
from sessionstore.asgi import SessionMiddleware
from tests.asgi_adapter.support import KEY, Site, call

EVENTS = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})


async def application(scope: Any, receive: Any, send: Any) -> None:
    assert "session" not in scope
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


class Closing:
    """Notes when a store is closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Any) -> None:
        self.closed: list[int] = []
        monkeypatch.setattr(type(store), "aclose", self._aclose)

    async def _aclose(self, *_: Any) -> None:
        self.closed.append(1)


async def test_our_store_is_closed_at_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    app = SessionMiddleware(application, KEY, url="memory://")
    noted = Closing(monkeypatch, app.manager.store)

    reply = await call(app, {"type": "lifespan"}, *EVENTS)

    assert reply.error is None
    assert reply.types == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert noted.closed == [1]


async def test_someone_elses_store_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(application)
    noted = Closing(monkeypatch, site.store)

    reply = await call(site.app, {"type": "lifespan"}, *EVENTS)

    assert reply.types == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert noted.closed == []


async def test_other_kinds_of_connection_pass_through() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "session" not in scope
        await send({"type": "mine.done"})

    reply = await call(Site(app).app, {"type": "mine"})

    assert reply.types == ["mine.done"]


def test_a_missing_secret_is_seen_when_starlette_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.applications import Starlette

    from tests.asgi_adapter.support import TestClient

    monkeypatch.delenv("SESSIONSTORE_SECRET_KEY", raising=False)
    app = Starlette()
    app.add_middleware(SessionMiddleware, url="memory://")

    with pytest.raises(ConfigurationError, match="new-key"), TestClient(app):
        pass
