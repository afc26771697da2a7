"""The sites: every framework under the server that it is usually run by, in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.soak.inside import DIRECTORY, INTERVAL
from tests.support.http_servers import HttpServer, serve_asgi, serve_wsgi, site_environment

SECRET: Final = "the soak's secret key, of more than 32 bytes"
PREFIX: Final = "soak"
GRACE: Final = "3600"
"""Seconds that the token before a rotation stays good: longer than any session here lives, so that
what a request by it must find does not depend on the clock."""
KEEP: Final = "75"
"""Seconds: connections must not be closed under a request's feet."""
THREADS: Final = 12
"""For each request to wait for its deadline, as an async site has by itself."""


@dataclass(frozen=True)
class Kind:
    """How one site is served.

    :param serve: by ``environment``
    """

    workers: int
    serve: Callable[[Mapping[str, str]], AbstractContextManager[HttpServer]]


def _gunicorn(app: str, workers: int, *options: str, threads: int = THREADS) -> Kind:
    more = ["--keep-alive", KEEP, "--graceful-timeout", "5", *options]
    return Kind(
        workers,
        lambda env: serve_wsgi(
            app, workers=workers, threads=threads, env=env, ready="/ready", options=more
        ),
    )


def _uvicorn(app: str, workers: int) -> Kind:
    more = ["--timeout-keep-alive", KEEP, "--timeout-graceful-shutdown", "5"]
    # A worker that takes longer to start is not taken into service.
    more += ["--timeout-worker-healthcheck", "30"]
    return Kind(
        workers,
        lambda env: serve_asgi(app, workers=workers, env=env, ready="/ready", options=more),
    )


KINDS: Final[Mapping[str, Kind]] = {
    "Django": _gunicorn("tests.soak.django_app:app", 2),
    "Flask": _gunicorn("tests.soak.flask_app:app", 2),
    "Flask, gevent": _gunicorn(
        "tests.soak.flask_app:app", 1, "--worker-class", "gevent", threads=1
    ),
    "Starlette": _uvicorn("tests.soak.starlette_app:app", 2),
}


@contextmanager
def running(
    names: Sequence[str], url: str, reports: Path, interval: float, **options: str
) -> Iterator[Mapping[str, HttpServer]]:
    """These sites, on one store.

    :param reports: where the processes write what they say of themselves
    :param interval: how often, in seconds
    :param options: of the store
    """
    env = site_environment(url, SECRET, prefix=PREFIX, **options)
    env |= {"SOAK_GRACE": GRACE, DIRECTORY: str(reports), INTERVAL: str(interval)}
    with ExitStack() as stack:
        yield {name: stack.enter_context(KINDS[name].serve(env)) for name in names}
