"""The site in Django. A process can have one only: its settings are the process's."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from benchmarks import data
from benchmarks.servers import Servers
from benchmarks.sites import BASE, LIFETIME, SECRET

STOCK: Final = "django.contrib.sessions.middleware.SessionMiddleware"
OURS: Final = "sessionstore.django.SessionMiddleware"


def make(kind: str, servers: Servers) -> Any:
    """The WSGI application."""
    directory = Path(tempfile.mkdtemp(prefix="sessionstore-bench-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    session = {} if kind == BASE else _sessions(servers)[kind]
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": directory / "db.sqlite3"}
    settings.configure(
        **{
            "SECRET_KEY": SECRET,
            "ALLOWED_HOSTS": ["*"],
            "USE_TZ": True,
            "DATABASES": {"default": database},
            "INSTALLED_APPS": ["django.contrib.sessions"] if kind == "cached-db" else [],
            "ROOT_URLCONF": _urls(kind),
            "SESSION_COOKIE_AGE": LIFETIME,
            "LOGGING_CONFIG": None,
            "MIDDLEWARE": [] if kind == BASE else [STOCK],
            **session,
        }
    )
    django.setup()
    if kind == "cached-db":
        from django.core.management import call_command

        call_command("migrate", "sessions", verbosity=0)
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()


def _ours(url: str) -> dict[str, Any]:
    return {
        "SESSION_ENGINE": "sessionstore.django",
        "SESSIONSTORE": {"URL": url},
        "MIDDLEWARE": [OURS],
    }


def _cached(engine: str, backend: str, servers: Servers) -> dict[str, Any]:
    return {
        "SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}",
        "CACHES": {"default": {"BACKEND": backend, "LOCATION": servers.redis_url}},
    }


def _sessions(servers: Servers) -> dict[str, dict[str, Any]]:
    its_own = "django.core.cache.backends.redis.RedisCache"
    return {
        "sessionstore": _ours(servers.redis_url),
        "sessionstore-memcached": _ours(servers.memcached_url),
        "sessionstore-memory": _ours("memory://"),
        "cookie": {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"},
        "cache": _cached("cache", its_own, servers),
        "django-redis": _cached("cache", "django_redis.cache.RedisCache", servers),
        "cached-db": _cached("cached_db", its_own, servers),
    }


def _urls(kind: str) -> tuple[Any, ...]:
    if kind == BASE:
        return tuple(path(name, untouched) for name in ("untouched", "read", "write", "rotate"))
    views = (untouched, read, write, rotate, fill, logout, show)
    return tuple(path(view.__name__, view) for view in views)


def untouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def read(request: HttpRequest) -> HttpResponse:
    request.session.get("user")
    return HttpResponse("ok")


def write(request: HttpRequest) -> HttpResponse:
    request.session["n"] = request.session["n"] + 1
    return HttpResponse("ok")


def rotate(request: HttpRequest) -> HttpResponse:
    request.session.cycle_key()
    request.session["n"] = request.session["n"] + 1
    return HttpResponse("ok")


def fill(request: HttpRequest) -> HttpResponse:
    for name, value in data.wanted(request.GET).items():
        request.session[name] = value
    return HttpResponse("ok")


def logout(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return HttpResponse("ok")


def show(request: HttpRequest) -> HttpResponse:
    return JsonResponse(dict(request.session.items()))
