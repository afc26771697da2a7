"""The same tests over the three adapters, on a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import redis

from sessionstore.core.token import _OneKeySigner
from tests.support.leaks import nothing_leaks
from tests.support.servers import RedisServer
from tests.support.sites import DjangoSite, FlaskSite, Site, StarletteSite, look

__all__ = ["nothing_leaks"]

SITES: dict[str, type[Site]] = {site.name: site for site in (FlaskSite, DjangoSite, StarletteSite)}

MakeSite = Callable[..., Site]
# What a connection says before its first command, and what asks for the figures.
_HANDSHAKE = {"hello", "client|setinfo", "client|setname", "auth", "select", "info", "ping"}


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis_server.client() as client:
        yield client


@pytest.fixture
def store_url(redis_server: RedisServer, prefix: str) -> str:
    return f"{redis_server.url}?prefix={prefix}&timeout=5"


@pytest.fixture(params=list(SITES))
def make_site(request: pytest.FixtureRequest, store_url: str) -> Iterator[MakeSite]:
    """Makes sites of one framework on this test's store; keyword arguments are settings."""
    sites: list[Site] = []

    def make(store: Any = store_url, **settings: Any) -> Site:
        site = SITES[request.param](store, **settings)
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


Counting = Callable[[], AbstractContextManager[dict[str, int]]]


@pytest.fixture
def counting(redis_client: redis.Redis) -> Counting:
    """Counts the commands that the server executes: by name, handshakes left out."""

    def figures() -> dict[str, int]:
        stats = redis_client.info("commandstats")
        return {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}

    @contextmanager
    def count() -> Iterator[dict[str, int]]:
        before = figures()
        counted: dict[str, int] = {}
        yield counted
        for name, calls in figures().items():
            more = calls - before.get(name, 0)
            if more and name not in _HANDSHAKE:
                counted[name] = more

    return count


@pytest.fixture
def keys(redis_client: redis.Redis, prefix: str) -> Callable[[], dict[bytes, bytes]]:
    """What the store holds for this test: every key and its value."""

    def read() -> dict[bytes, bytes]:
        found = redis_client.scan_iter(match=f"{prefix}:*")
        return {key: value for key in found if (value := redis_client.get(key)) is not None}

    return read


@pytest.fixture
def hmacs(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What an HMAC is computed of from now on."""
    seen: list[bytes] = []
    sign = _OneKeySigner.get_signature

    def counted(self: _OneKeySigner, message: bytes) -> bytes:
        seen.append(message)
        return sign(self, message)

    site.request(look)
    monkeypatch.setattr(_OneKeySigner, "get_signature", counted)
    return seen
