"""docs/how-to/asgi.md does what it says, on a store in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.asgi_adapter.support import TestClient
from tests.test_docs import DOCS, blocks

PAGE = DOCS / "how-to" / "asgi.md"


@pytest.fixture
def page() -> dict[str, Any]:
    """The names that the page's examples define."""
    namespace: dict[str, Any] = {"__name__": "example"}
    for line, source in blocks(Path(PAGE)):
        local = source.replace("redis://localhost:6379/0", "memory://")
        code = compile("\n" * line + local, str(PAGE), "exec", dont_inherit=True)
        exec(code, namespace)  # noqa: S102 (our own page)
    return namespace


def test_starlette(page: dict[str, Any]) -> None:
    client = TestClient(page["app"])

    assert client.get("/").json() == {"user": None, "visits": 1}
    assert client.post("/login").json() == {"user": "ann", "visits": 2}
    assert client.post("/logout").json() == {"user": None, "visits": 1}


def test_fastapi(page: dict[str, Any]) -> None:
    client = TestClient(page["api"])

    assert client.get("/me").status_code == 401
    client.post("/login", params={"name": "ann"})
    assert client.get("/me").json() == {"user": "ann"}


def test_plain_asgi(page: dict[str, Any]) -> None:
    client = TestClient(page["plain_app"])

    assert [client.get("/").text for _ in range(2)] == ["visit number 1", "visit number 2"]


def test_streaming(page: dict[str, Any]) -> None:
    client = TestClient(page["app"])

    assert client.get("/export").text == "row 1\nrow 2\nrow 3\n"


def test_websocket(page: dict[str, Any]) -> None:
    client = TestClient(page["app"])
    client.get("/")

    with client.websocket_connect("/chat") as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "you said hello"


def test_manual_loading(page: dict[str, Any]) -> None:
    client = TestClient(page["manual"])

    assert [client.get("/mine").json() for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    assert client.get("/public").json() == {"visits": None}
