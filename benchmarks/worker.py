"""One site or client in a process of its own: ``python -m benchmarks.worker NAME``.

It reads requests from standard input and answers on standard output, a line of JSON each, so that
whatever is compared neither shares a heap nor a garbage collector nor CPU time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from time import process_time
from typing import Any, Final

from benchmarks import data
from benchmarks.calling import ALL_KINDS, AsgiCaller, Browser, Caller, WsgiCaller
from benchmarks.clients import CLIENTS
from benchmarks.profiling import profile
from benchmarks.servers import Servers
from benchmarks.sites import BASE, SITES

WARMING: Final = 3
"""Untimed requests before each batch: other workers have had the processor's caches meanwhile."""

MICRO: Final = 1e6

Batch = dict[str, Any]
"""``wall``: microseconds, of each request; ``cpu``: microseconds of this process, per request."""


class SiteWorker:
    """A site, called in process."""

    def __init__(self, name: str, servers: Servers) -> None:
        self._site = SITES[name]
        app = self._site.make(servers)
        self._caller: Caller = (
            AsgiCaller(app, asyncio.new_event_loop()) if self._site.is_asgi else WsgiCaller(app)
        )
        self._users: dict[str, dict[str, Browser]] = {}
        self._leaving: list[Browser] = []

    def fill(self, case: str = "", **query: Any) -> None:
        """Give the user of each kind of request a session, and check that it works.

        :param case: a name for these users, where there are others
        :param query: of ``/fill``
        """
        self._users[case] = {kind: Browser(self._caller) for kind in ALL_KINDS}
        if self._site.session == BASE:
            return
        text = "&".join(f"{name}={value}" for name, value in query.items())
        wanted = data.wanted({name: str(value) for name, value in query.items()})
        for kind, browser in self._users[case].items():
            browser.get("/fill", text)
            if not self._site.has_sessions:
                continue
            _same(browser.show(), wanted)
            if kind in ("write", "rotate"):
                before = browser.cookie
                browser.do(kind)
                _same(browser.show(), wanted | {"n": 1})
                if kind == "rotate" and self._site.session != "cookie":
                    assert browser.cookie != before, "not rotated"

    def batch(self, kind: str, count: int, case: str = "") -> Batch:
        """Requests of one kind, one after another."""
        browser = self._users[case][kind]
        for _ in range(WARMING):
            browser.do(kind)
        cpu = process_time()
        wall = [browser.do(kind) * MICRO for _ in range(count)]
        return {"wall": wall, "cpu": (process_time() - cpu) * MICRO / count}

    def plain(self, kind: str, count: int) -> None:
        """The same requests, not timed, and none beside them."""
        for _ in range(count):
            browser = self._leaving.pop() if kind == "logout" else self._users[""][kind]
            browser.do(kind)

    def profile(self, kind: str, count: int) -> dict[str, float]:
        """Where the time of such requests goes: see :mod:`.profiling`."""
        self.plain(kind, WARMING)
        return profile(lambda: self.plain(kind, count))

    def sign_up(self, count: int) -> None:
        """Users who can log out."""
        self._leaving = [Browser(self._caller) for _ in range(count)]
        for browser in self._leaving:
            browser.get("/fill")

    def begin(self, count: int, **query: Any) -> list[str]:
        """New sessions, each with its own user; their Cookie headers."""
        text = "&".join(f"{name}={value}" for name, value in query.items())
        cookies = []
        for _ in range(count):
            browser = Browser(self._caller)
            browser.get("/fill", text)
            cookies.append(browser.cookie)
        return cookies

    def close(self) -> None:
        """Nothing is left running."""


def _same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    held = {name: value for name, value in found.items() if not name.startswith("_")}
    held.pop("__metadata__", None)
    assert held == wanted, f"the session holds {held}, not {wanted}"


def serve(target: Any) -> None:
    """Answer requests until the input ends."""
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    answers.write(json.dumps({"result": "ready"}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        method: Callable[..., Any] = getattr(target, request.pop("method"))
        answers.write(json.dumps({"result": method(**request)}) + "\n")
    target.close()


def main() -> None:
    """See above."""
    name = sys.argv[1]
    servers = Servers.from_environment(dict(os.environ))
    serve(SiteWorker(name, servers) if name in SITES else CLIENTS[name].worker(servers))


if __name__ == "__main__":
    main()
