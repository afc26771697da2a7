"""A session written by each framework is read by the others: every type, on a real Redis, each
framework in its own server processes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.interop.values import COOKIE, VALUES, change, describe
from tests.support.http_servers import serve_asgi, serve_wsgi
from tests.support.servers import RedisServer

SITES = {
    "flask": (serve_wsgi, "tests.interop.flask_site:app"),
    "django-wsgi": (serve_wsgi, "tests.interop.django_site:wsgi"),
    "django-asgi": (serve_asgi, "tests.interop.django_site:asgi"),
    "starlette": (serve_asgi, "tests.interop.starlette_site:app"),
}
WRITTEN = {name: describe(value) for name, value in VALUES.items()}


@pytest.fixture(scope="module")
def urls(redis_server: RedisServer) -> Iterator[dict[str, str]]:
    """The address of each site."""
    env = {
        "SESSIONSTORE_URL": f"{redis_server.url}?timeout=5&prefix=interop-{uuid.uuid4().hex[:12]}",
        "SESSIONSTORE_SECRET_KEY": "",
    }
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serve(app, env=env, ready="/read")).url
            for name, (serve, app) in SITES.items()
        }


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A visitor. All sites are on one host, so its cookie goes to each."""
    with httpx.Client(timeout=20) as client:
        yield client


def read(client: httpx.Client, url: str, path: str = "/read") -> dict[str, Any]:
    answer = client.get(url + path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def post(client: httpx.Client, url: str) -> None:
    answer = client.post(url)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("writer", SITES)
def test_what_one_writes_the_others_read(
    writer: str, urls: dict[str, str], client: httpx.Client
) -> None:
    post(client, f"{urls[writer]}/write")
    handle = client.cookies[COOKIE].split(".")[0]
    for reader, url in urls.items():
        found = read(client, url)
        assert found["handle"] == handle
        for name, expected in WRITTEN.items():
            assert found["values"].pop(name) == expected, (reader, name)
        assert found["values"] == {}
    asynchronous = read(client, urls["django-asgi"], "/aread")
    assert asynchronous["values"] == WRITTEN


@pytest.mark.parametrize("changer", SITES)
def test_a_nested_change_is_seen_by_all(
    changer: str, urls: dict[str, str], client: httpx.Client
) -> None:
    post(client, f"{urls['starlette']}/write")
    cookie = client.cookies[COOKIE]
    post(client, f"{urls[changer]}/change")
    assert client.cookies[COOKIE] == cookie
    expected = {"dict": {"b": 1, "a": {"nested": {"deep": (None, {3})}}}, "list": [1, "1", [2, []]]}
    change(expected)
    for reader, url in urls.items():
        found = read(client, url)["values"]
        assert found == WRITTEN | {k: describe(v) for k, v in expected.items()}, reader


@pytest.mark.parametrize("where", SITES)
def test_a_login_at_one_is_a_login_at_all(
    where: str, urls: dict[str, str], client: httpx.Client
) -> None:
    post(client, f"{urls['flask']}/write")
    before = client.cookies[COOKIE]
    post(client, f"{urls[where]}/login/ada")
    after = client.cookies[COOKIE]
    assert after != before
    for url in urls.values():
        assert read(client, url)["subject"] == "ada"
        # The secret from before the login reads nothing, anywhere.
        old = httpx.get(f"{url}/read", headers={"Cookie": f"{COOKIE}={before}"}).json()
        assert (old["subject"], old["values"]) == (None, {})
