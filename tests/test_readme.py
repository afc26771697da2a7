"""The README's examples run, its links lead somewhere, and its numbers are the code's."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sessionstore import Session, SessionConfig
from tests.support.servers import RedisServer

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SECRET = "the secret key of the README's examples"
URL = "redis://localhost:6379/0"


def example(title: str) -> str:
    """The block of code that follows a title in bold."""
    found = re.search(
        rf"^\*\*{title}\*\*.*?\n```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
    )
    assert found, title
    assert URL in found[1]
    return found[1]


@pytest.fixture
def url(redis_server: RedisServer, prefix: str) -> Iterator[str]:
    """A real Redis; afterwards it holds the example's session, and nobody else does."""
    yield f"{redis_server.url}?prefix={prefix}"
    with redis_server.client() as client:
        assert len(client.keys(f"{prefix}:s:*")) == 1


def run(title: str, url: str) -> dict[str, Any]:
    """Run an example on a real Redis; gives its names."""
    namespace: dict[str, Any] = {"secret_key": SECRET, "__name__": "readme"}
    exec(example(title).replace(URL, url), namespace)  # noqa: S102 (our own README)
    return namespace


def test_flask(url: str) -> None:
    names = run("Flask", url)
    app, session = names["app"], names["session"]

    @app.get("/")
    def visits() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    client = app.test_client()
    assert [client.get("/").text for _ in range(2)] == ["1", "2"]


@pytest.mark.anyio
async def test_starlette(url: str) -> None:
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse

    app = run("Starlette, FastAPI", url)["app"]

    async def visits(request: Request) -> PlainTextResponse:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return PlainTextResponse(str(request.session["visits"]))

    app.add_route("/", visits)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert [(await client.get("/")).text for _ in range(2)] == ["1", "2"]


DJANGO = """
import sys
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))

urlpatterns = [path("", visits)]
chosen = {{}}
exec({example!r}, chosen)
settings.configure(
    SECRET_KEY={secret!r},
    ROOT_URLCONF="__main__",
    ALLOWED_HOSTS=["testserver"],
    **{{name: value for name, value in chosen.items() if name.isupper()}},
)
django.setup()

from django.test import Client

client = Client()
print([client.get("/").content.decode() for _ in range(2)])
"""


def test_django(url: str) -> None:
    # A process of its own: Django can be configured only once.
    code = DJANGO.format(example=example("Django").replace(URL, url), secret=SECRET)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout == "['1', '2']\n", result.stderr


def test_the_core(url: str) -> None:
    names = run("Anything else", url)
    assert names["manager"].open(names["cookie"].value)["cart"] == {"apples": 1}


def test_relative_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert len(links) > 8
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_the_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", README, re.MULTILINE)) <= targets


def test_the_extras_are_those_of_the_package() -> None:
    sentence = re.search(r"The extras are (.*?);", README, re.DOTALL)
    assert sentence
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(re.findall(r"`(\w+)`", sentence[1])) == set(project["optional-dependencies"])


def test_the_schemes_are_those_that_can_be_opened() -> None:
    from sessionstore.stores.url import SCHEMES

    sentence = re.search(r"Sessions are kept in (.*?\(`memory://`\))", README, re.DOTALL)
    assert sentence
    named = set(re.findall(r"`([a-z+]+)://", sentence[1]))
    assert named | {"postgresql"} == set(SCHEMES)


def test_what_is_on_every_session_is() -> None:
    section = README.partition("## On every session")[2].partition("\n## ")[0]
    names = set(re.findall(r"`\.(\w+)", section))
    assert len(names) >= 9
    assert all(hasattr(Session, name) for name in names)


def test_the_settings_exist_with_these_defaults() -> None:
    section = README.partition("## Settings")[2].partition("\n## ")[0]
    named = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    defaults = {field.name: field.default for field in dataclasses.fields(SessionConfig)}
    assert set(named) <= set(defaults)
    assert SessionConfig(secret_key=SECRET).idle_timeout == 14 * 86400
    assert (named["idle_timeout"], named["absolute_timeout"]) == ("14 days", "30 days")
    assert SessionConfig(secret_key=SECRET).absolute_for(86400) == 30 * 86400
    assert (named["max_size"], defaults["max_size"]) == ("256 KiB", 256 * 1024)
