"""A site of each framework, and the store behind it to spoil."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from sessionstore import MemoryStore
from sessionstore.testing import FaultProxy
from tests.adapters.conftest import SITES, MakeSite
from tests.support.calling import Answer
from tests.support.leaks import nothing_leaks
from tests.support.servers import RedisServer, run_redis
from tests.support.sites import MARK, Browser, FlaskSite, Site

__all__ = ["nothing_leaks"]

TIMEOUT = 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """One that these tests may bring into trouble, and flush."""
    with run_redis() as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.socket) as proxy:
        yield proxy


@pytest.fixture(params=list(SITES))
def make_site(request: pytest.FixtureRequest, prefix: str) -> Iterator[MakeSite]:
    """Makes sites of one framework, by the URL of their store."""
    sites: list[Site] = []

    def make(url: Any, **settings: Any) -> Site:
        if isinstance(url, str):
            more = "&" if "?" in url else "?"
            url = f"{url}{more}prefix={prefix}&timeout={TIMEOUT}"
        sites.append(SITES[request.param](url, **settings))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(make_site: MakeSite, proxy: FaultProxy) -> Site:
    """One whose server is behind the proxy."""
    return make_site(f"redis://{proxy.address}")


def read(session: Any) -> Any:
    return session.get("a")


def write(session: Any) -> None:
    session["a"] = session.get("a", 0) + 1


def begun(site: Site) -> Browser:
    """Somebody with a session in which ``a`` is 2; the server knows the scripts."""
    browser = site.browser()
    browser.do(lambda session: session.update({"a": 1, **MARK}))
    browser.do(write)
    return browser


def token() -> str:
    """A cookie with a good signature, so that the store is asked."""
    cookie = begun(FlaskSite(MemoryStore())).cookie
    assert cookie is not None
    return cookie


def is_503(answer: Answer, *never: str) -> bool:
    """By our own hand: not cached, without a cookie, and without a word about the store."""
    words = ("127.0.0.1", "localhost", "redis", "Redis", *never)
    return (
        answer.status == 503
        and answer.set_cookies == []
        and answer.header("Retry-After") is not None
        and answer.header("Cache-Control") == "no-store"
        and not any(word.encode() in answer.body for word in words)
    )


def recovered(browser: Browser, seconds: float = 10) -> bool:
    """Whether the site works again, soon after its server does: a breaker may have to find out."""
    deadline = time.monotonic() + seconds
    while (answer := browser.get(read)).status == 503:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer.status == 200
