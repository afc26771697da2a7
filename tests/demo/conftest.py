"""The demo as `make demo` runs it: ``python -m example_apps.demo``, with two workers."""

from __future__ import annotations

import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.children import Child, accepts, on_free_port
from tests.support.http_servers import ROOT, HttpServer
from tests.support.leaks import Leaks, found_in
from tests.support.servers import RedisServer

FRAMEWORKS = ("flask", "django", "starlette")
HOLD_SECONDS = 0.1


def start_demo(directory: Path, **env: str) -> Child:
    """Start the demo with its state in ``directory``."""
    # Set, if only to nothing, so that a developer's own settings stay out of it.
    cleared = {"SESSIONSTORE_URL": "", "SESSIONSTORE_SECRET_KEY": ""}
    return Child(
        [sys.executable, "-m", "example_apps.demo"],
        directory,
        env={**cleared, "PYTHONPATH": str(ROOT), **env},
        cwd=directory,
    )


@contextmanager
def run_demo(directory: Path, **env: str) -> Iterator[HttpServer]:
    """The demo on a free port."""

    def start(port: int) -> Child:
        return start_demo(directory, PORT=str(port), **env)

    with on_free_port(start, _answers) as (port, child):
        yield HttpServer(f"http://127.0.0.1:{port}", child, partial(_answers, port))


def _answers(port: int) -> bool:
    # The supervisor listens before its workers are there to answer.
    return accepts(port) and httpx.get(f"http://127.0.0.1:{port}/", timeout=20).is_success


@dataclass(frozen=True)
class Demo(HttpServer):
    """A running demo.

    :param hold_writes: while this lasts the store lets everybody read and nobody write, until so
        many writes wait (or 0.1 s are over); so they have all read the same, and are truly at once
    """

    hold_writes: Callable[[int], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def sqlite_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo on a SQLite file."""
    file = tmp_path_factory.mktemp("demo") / "sessions.db"

    @contextmanager
    def hold_writes(waiting: int) -> Iterator[None]:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            time.sleep(HOLD_SECONDS)  # SQLite does not say who waits
            connection.rollback()

    # A busy machine may take its time: what a deadline does is tested elsewhere.
    with run_demo(file.parent, SESSIONSTORE_URL=f"sqlite:///{file}?timeout=5") as server:
        yield Demo(server.url, server.child, server.answers, hold_writes)


@pytest.fixture(scope="session")
def redis_demo(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Demo]:
    """The demo on Redis."""

    @contextmanager
    def hold_writes(waiting: int) -> Iterator[None]:
        with redis_server.client() as client:
            client.client_pause(2000, all=False)
            yield
            deadline = time.monotonic() + HOLD_SECONDS
            while time.monotonic() < deadline:
                if sum("b" in each["flags"] for each in client.client_list()) >= waiting:
                    break
            client.client_unpause()

    url = f"{redis_server.url}?timeout=5&prefix=demo-{uuid.uuid4().hex[:12]}"
    with run_demo(tmp_path_factory.mktemp("demo"), SESSIONSTORE_URL=url) as server:
        yield Demo(server.url, server.child, server.answers, hold_writes)


@pytest.fixture(params=["sqlite", "redis"])
def demo(request: pytest.FixtureRequest) -> Demo:
    """The demo, on each of the stores."""
    server: Demo = request.getfixturevalue(f"{request.param}_demo")
    return server


@pytest.fixture
def visitor(demo: Demo) -> Iterator[Callable[[], httpx.Client]]:
    """Makes clients, each with a cookie jar of its own."""
    clients: list[httpx.Client] = []
    leaks = Leaks()

    def make() -> httpx.Client:
        # A connection for each request, so that either worker may get it.
        limits = httpx.Limits(max_keepalive_connections=0)
        clients.append(watched_client(leaks, base_url=demo.url, limits=limits, timeout=20))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
    leaks.texts.append(demo.child.output)
    leaks.check()


def watched_client(leaks: Leaks, **options: Any) -> httpx.Client:
    """One whose every answer may be searched for the tokens that it has been given."""

    def saw(response: httpx.Response) -> None:
        response.read()
        for value in response.headers.get_list("Set-Cookie"):
            for token in found_in(value.encode()):
                leaks.forbid_token(token)
        headers = [pair for pair in response.headers.multi_items() if pair[0] != "set-cookie"]
        leaks.texts += [repr(headers), response.text]

    return httpx.Client(event_hooks={"response": [saw]}, **options)


@pytest.fixture
def client(visitor: Callable[[], httpx.Client]) -> httpx.Client:
    """One visitor."""
    return visitor()
