"""The same small site in each framework, with each kind of session that is compared.

Its addresses: ``/untouched``, ``/read``, ``/write`` and ``/rotate``, which are timed; ``/fill``
puts a session in place and ``/show`` tells what it holds, so that nothing is timed that does not
do its work.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from benchmarks.servers import Servers

SECRET: Final = "a secret of thirty-two bytes or more, for benchmarks"
LIFETIME: Final = 14 * 86400
"""Seconds; the same in every site."""

BASE: Final = "none"
"""The kind of session that is none: what the others are compared with."""


@dataclass(frozen=True)
class Site:
    """One framework with one kind of session.

    :param framework: the module beside this one that makes it
    :param session: what that module calls the kind
    :param title: for people
    :param counted: whether its commands go to Redis, where they are counted
    :param quick: whether a request takes well under a millisecond
    """

    framework: str
    session: str
    title: str
    counted: bool = False
    quick: bool = True

    @property
    def name(self) -> str:
        """In results and on the command line."""
        return f"{self.framework}:{self.session}"

    @property
    def base(self) -> str:
        """The name of the same site without sessions."""
        return f"{self.framework}:{BASE}"

    @property
    def is_asgi(self) -> bool:
        """Else WSGI."""
        return self.framework == "starlette"

    def make(self, servers: Servers) -> Any:
        """The application."""
        return import_module(f"benchmarks.sites.{self.framework}").make(self.session, servers)


OURS: Final = "sessionstore"
OURS_MEMORY: Final = "sessionstore-memory"

SITES: Final = {
    site.name: site
    for site in (
        Site("flask", BASE, "no sessions"),
        Site("flask", OURS, "sessionstore, Redis", counted=True),
        Site("flask", "sessionstore-memcached", "sessionstore, Memcached"),
        Site("flask", OURS_MEMORY, "sessionstore, memory"),
        Site("flask", "cookie", "Flask's cookie session"),
        Site("flask", "flask-session", "Flask-Session, Redis", counted=True),
        Site(
            "flask",
            "flask-session-no-refresh",
            "Flask-Session, Redis, no refresh",
            counted=True,
        ),
        Site("starlette", BASE, "no sessions"),
        Site("starlette", OURS, "sessionstore, Redis", counted=True),
        Site(
            "starlette", "sessionstore-manual", 'sessionstore, Redis, load="manual"', counted=True
        ),
        Site("starlette", "sessionstore-memcached", "sessionstore, Memcached"),
        Site("starlette", OURS_MEMORY, "sessionstore, memory"),
        Site("starlette", "cookie", "Starlette's cookie session"),
        Site("starlette", "starsessions", "starsessions, Redis", counted=True),
        Site("django", BASE, "no sessions"),
        Site("django", OURS, "sessionstore, Redis", counted=True),
        Site("django", "sessionstore-memcached", "sessionstore, Memcached"),
        Site("django", OURS_MEMORY, "sessionstore, memory"),
        Site("django", "cookie", "signed_cookies"),
        Site("django", "cache", "cache engine, its RedisCache", counted=True),
        Site("django", "django-redis", "cache engine, django-redis", counted=True),
        Site("django", "cached-db", "cached_db, SQLite + RedisCache", counted=True, quick=False),
    )
}
