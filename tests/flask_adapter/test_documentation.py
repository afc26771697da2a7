"""docs/how-to/flask.md does what it says, on a store in memory."""

from __future__ import annotations

from typing import Any

import pytest

from sessionstore import MemoryStore, StoreUnavailable
from tests.support.scripted_store import ScriptedStore
from tests.test_docs import DOCS, run_blocks

PAGE = DOCS / "how-to" / "flask.md"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> ScriptedStore:
    """What the page's redis:// URL opens."""
    store = ScriptedStore(MemoryStore())
    opened = {"redis://localhost:6379/0": store}
    monkeypatch.setattr(
        "sessionstore.settings.Managers.store", lambda self, url: opened[url], raising=True
    )
    return store


def test_the_page(store: ScriptedStore) -> None:
    page: dict[str, Any] = {"__name__": "example"}
    run_blocks(PAGE, page)
    client = page["app"].test_client()
    https = {"base_url": "https://localhost"}

    assert [client.get("/", **https).text for _ in range(2)] == [
        "visit number 1",
        "visit number 2",
    ]
    assert client.get("/me", **https).status_code == 401
    answer = client.post("/login/ann", **https)
    assert answer.headers["Set-Cookie"].startswith("__Host-session=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert client.get("/me", **https).json["user"] == "ann"
    with client.get("/export", **https) as streamed:
        assert streamed.text == "row 1\nrow 2\nrow 3\n"
    with client.session_transaction(**https) as transaction:
        assert transaction["exporting"] == 3
    store.down(StoreUnavailable("connection refused"))
    for path in ("/", "/me"):
        answer = client.get(path, **https)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        assert "back in a moment" in answer.text
    store.up()
    late = page["app"].test_client()
    late.set_cookie("__Host-session", client.get_cookie("__Host-session").value)
    client.post("/login/ann", **https)
    answer = late.get("/", **https)
    assert (answer.status_code, "another window" in answer.text) == (409, True)
    client.post("/logout", **https)
    assert client.get("/me", **https).status_code == 401
