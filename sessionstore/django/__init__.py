"""Django: ``SESSION_ENGINE = "sessionstore.django"``.

::

    SESSION_ENGINE = "sessionstore.django"
    SESSIONSTORE = {"URL": "redis://localhost:6379/0"}
    MIDDLEWARE = [
        "sessionstore.django.SessionMiddleware",  # instead of django.contrib.sessions' own
        ...
    ]

It works under Django's own middleware too; docs/how-to/django.md says what is missing then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sessionstore.django.engine import SessionStore
    from sessionstore.django.middleware import SessionMiddleware

__all__ = ["SessionMiddleware", "SessionStore"]


def __getattr__(name: str) -> Any:
    """Look the classes up when they are first asked for.

    Django's own middleware imports this module and takes ``SessionStore`` from it when the server
    starts: the one moment at which wrong settings can still keep it from starting.
    """
    if name == "SessionStore":
        from sessionstore.django.configuration import check_if_in_use
        from sessionstore.django.engine import SessionStore

        check_if_in_use()
        return SessionStore
    if name == "SessionMiddleware":
        from sessionstore.django.middleware import SessionMiddleware

        return SessionMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
