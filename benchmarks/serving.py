"""Sites behind gunicorn and uvicorn, and users who have sessions there."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from benchmarks.data import SIZE
from benchmarks.servers import Servers
from benchmarks.sites import BASE, SITES
from tests.support.http_servers import serve_asgi, serve_wsgi

APP: Final = "benchmarks.sites.served:app"
USERS: Final = 256
"""Many more than requests at once, so that no two of these are about one session."""


@dataclass(frozen=True)
class Served:
    """A running site.

    :param cookies: the Cookie header of each user; one empty one where there are no sessions
    """

    name: str
    port: int
    cookies: tuple[str, ...]

    def check(self, kind: str) -> None:
        """After a load: was it work that was done?"""
        if SITES[self.name].session != BASE and kind == "write":
            shown = _get(self.port, "/show", self.cookies[0])[1]
            in_cookie = SITES[self.name].session == "cookie"  # whose users kept the old one
            assert in_cookie or '"n":0' not in shown.replace(" ", ""), shown


@contextmanager
def serve(
    name: str, servers: Servers, workers: int, environment: Mapping[str, str]
) -> Iterator[Served]:
    """A site with its users.

    :param workers: processes; of a WSGI site each has four threads
    """
    env = {**environment, **servers.environment(), "BENCH_SITE": name}
    run = serve_asgi if SITES[name].is_asgi else serve_wsgi
    with run(APP, workers=workers, env=env) as server:
        port = urlsplit(server.url).port
        assert port is not None
        if SITES[name].session == BASE:
            yield Served(name, port, ("",))
        else:
            cookies = (_get(port, f"/fill?size={SIZE}")[0] for _ in range(USERS))
            yield Served(name, port, tuple(cookies))


def _get(port: int, path: str, cookie: str = "") -> tuple[str, str]:
    """What cookies it sets, as a Cookie header; and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, (answer.status, body)
        cookies = answer.headers.get_all("Set-Cookie") or []
        return "; ".join(each.partition(";")[0].strip() for each in cookies), body
    finally:
        connection.close()
