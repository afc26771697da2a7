"""SECURITY.md section 2 on real servers: forked workers, threads, greenlets, loops, rude clients.

The store's replies come late, so that there is always one pending when a client hangs up.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

import httpx
import pytest

from sessionstore.testing import FaultProxy
from sessionstore.testing.lifecycle import in_threads
from tests.adapters.support import cookie
from tests.adapters.test_hostile_cookies import ALIKE, ESCAPED, FORMLESS, STRANGE, UNSIGNED
from tests.support.calling import COOKIE
from tests.support.http_servers import HttpServer, serve_asgi, serve_wsgi, site_environment
from tests.support.servers import RedisServer
from tests.support.sites import SECRET

pytestmark = pytest.mark.once

FLASK, ASGI = "tests.drill.wsgi_app:app", "tests.drill.asgi_app:app"
DJANGO = "tests.adapters.served.django_site:"
WARM = ["--config", "tests/adapters/served/warm.py"]
GEVENT = ["--worker-class", "gevent"]

Serve = Callable[..., AbstractContextManager[HttpServer]]
SERVERS: dict[str, tuple[Serve, str]] = {
    "flask, forked": (partial(serve_wsgi, FLASK, workers=2, threads=16, options=WARM), ""),
    "flask, gevent": (partial(serve_wsgi, FLASK, options=GEVENT), ""),
    "django, forked": (
        partial(serve_wsgi, f"{DJANGO}wsgi", workers=2, threads=16, options=WARM),
        "",
    ),
    "django, gevent": (partial(serve_wsgi, f"{DJANGO}wsgi", options=GEVENT), ""),
    "django, asyncio": (partial(serve_asgi, f"{DJANGO}asgi", ready="/async/"), "/async"),
    "asgi, asyncio": (partial(serve_asgi, ASGI), ""),
}


@pytest.fixture(scope="module", params=list(SERVERS))
def site(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[str]:
    """A running site's address."""
    serve, path = SERVERS[request.param]
    with FaultProxy(redis_server.socket) as proxy:
        proxy.reply_latency = 0.003
        prefix = f"test-{uuid.uuid4().hex[:12]}"
        options = {"prefix": prefix, "timeout": "20", "max_connections": "4"}
        env = site_environment(f"redis://{proxy.address}", SECRET, **options)
        with serve(env=env) as server:
            yield server.url + path
            assert "Traceback" not in server.child.output, server.child.output


USERS, ROUNDS = 32, 2


def test_row26_a_crowd_some_of_whom_hang_up(site: str) -> None:
    def use(number: int) -> None:
        user = f"user{number}"
        with httpx.Client(timeout=30) as client:

            def ask(path: str) -> Any:
                answer = client.get(f"{site}{path}")
                assert answer.status_code == 200, answer.text
                return answer.json()

            ask(f"/login/{user}/0")
            for value in range(ROUNDS):
                hang_up(site, "/read", client.cookies[COOKIE])
                assert ask(f"/write/{value + 1}") == {"user": user, "value": value}
            assert ask("/read") == {"user": user, "value": ROUNDS}

    in_threads(USERS, use)


def hang_up(site: str, path: str, token: str) -> None:
    """Ask, and be gone before the answer."""
    with connected(site) as connection:
        connection.sendall(request(site, path, f"{COOKIE}={token}".encode()))


def connected(site: str) -> socket.socket:
    url = httpx.URL(site)
    return socket.create_connection((url.host, url.port or 80), timeout=30)


def request(site: str, path: str, cookie: bytes) -> bytes:
    url = httpx.URL(site + path)
    return b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: %b\r\n\r\n" % (
        url.raw_path,
        cookie,
    )


HOSTILE = {
    "unsigned": UNSIGNED,
    "formless": {name: lambda value=value: value for name, value in FORMLESS.items()},
    "escaped": ESCAPED,
    "strange": STRANGE,
    "alike": {name: ALIKE[name] for name in ALIKE if name not in {"newline", "carriage_return"}},
}
"""Rows 1 and 3 to 6, but for what ends a header."""


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_a_hostile_cookie_is_nobodys_or_the_server_refuses_it(site: str, kind: str) -> None:
    """Refused with a 4xx, and never a 5xx."""
    for name, make in HOSTILE[kind].items():
        head, _, body = ask_raw(site, cookie(make())).partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        assert b"set-cookie" not in head.lower(), name
        if status == 200:
            assert b'"user":null' in body.replace(b" ", b""), name
        else:
            assert 400 <= status < 500, (name, head)


def ask_raw(site: str, header: bytes) -> bytes:
    """The answer to a request with this Cookie header, to its end."""
    answer = b""
    with connected(site) as connection, suppress(ConnectionError):
        # A server may answer, and close, before it has all of a header that it finds too long.
        connection.sendall(request(site, "/read", header))
        while data := connection.recv(65536):
            answer += data
    return answer
