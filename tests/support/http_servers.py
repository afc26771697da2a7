"""Real HTTP servers around an app, each a context manager that gives its address."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.children import Child, on_free_port, scratch_directory

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class HttpServer:
    """A running HTTP server: ``http://127.0.0.1:PORT``, without a slash at the end."""

    url: str
    child: Child
    answers: Callable[[], bool]

    def restart(self) -> None:
        """Start it again after it has ended, at the same address; until it answers."""
        self.child.start()
        self.child.wait_until(self.answers)


def site_environment(url: str, secret: str, **options: str) -> dict[str, str]:
    """From what a site takes its store and its key.

    :param options: of the store, as in its URL
    """
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return {
        "SESSIONSTORE_URL": f"{url}{'&' if '?' in url else '?'}{query}",
        "SESSIONSTORE_SECRET_KEY": secret,
    }


@contextmanager
def serve_asgi(
    app: str,
    *,
    workers: int = 1,
    env: Mapping[str, str] | None = None,
    ready: str = "/",
    options: Sequence[str] = (),
) -> Iterator[HttpServer]:
    """uvicorn on a free port.

    :param app: ``"module:name"``, importable from the repository's root
    :param ready: a path whose answer, of any status, shows that the app runs
    :param options: more of the command line
    """
    most = ["--workers", str(workers), "--log-level", "warning"]
    with _serve(
        ["uvicorn", app, *most, *options], ["--host", "127.0.0.1", "--port"], env, ready
    ) as server:
        yield server


@contextmanager
def serve_wsgi(
    app: str,
    *,
    workers: int = 1,
    threads: int = 4,
    env: Mapping[str, str] | None = None,
    ready: str = "/",
    options: Sequence[str] = (),
) -> Iterator[HttpServer]:
    """gunicorn on a free port; parameters as those of :func:`serve_asgi`."""
    most = ["--workers", str(workers), "--threads", str(threads), "--log-level", "warning"]
    with _serve(["gunicorn", app, *most, *options], ["--bind"], env, ready) as server:
        yield server


@contextmanager
def _serve(
    command: list[str], listen: list[str], env: Mapping[str, str] | None, ready: str
) -> Iterator[HttpServer]:
    with scratch_directory() as directory:

        def start(port: int) -> Child:
            where = str(port) if "--port" in listen else f"127.0.0.1:{port}"
            return Child(
                [sys.executable, "-m", *command, *listen, where], directory, env=env, cwd=ROOT
            )

        with on_free_port(start, lambda port: _responds(port, ready)) as (port, child):
            yield HttpServer(f"http://127.0.0.1:{port}", child, partial(_responds, port, ready))


def _responds(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    except http.client.HTTPException:
        return False
    finally:
        connection.close()
    return True
