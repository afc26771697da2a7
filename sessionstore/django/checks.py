"""``manage.py check``: the settings, and what needs our middleware."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from sessionstore.django.configuration import ENGINE, check_configuration, get_manager
from sessionstore.django.errors import SettingsError
from sessionstore.django.middleware import SessionMiddleware


def check_sessions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001: settings that cannot work. E002: a setting that Django's own middleware ignores."""
    if settings.SESSION_ENGINE != ENGINE:
        return []
    try:
        check_configuration()
    except SettingsError as error:
        return [Error(str(error), id="sessionstore.E001")]
    if get_manager().config.on_unavailable == "anonymous" and not _uses_our_middleware():
        return [
            Error(
                "SESSIONSTORE: ON_UNAVAILABLE = 'anonymous' needs our middleware.",
                hint="Django's own would send a cookie without a session. In MIDDLEWARE, write"
                " sessionstore.django.SessionMiddleware instead of it.",
                id="sessionstore.E002",
            )
        ]
    return []


def _uses_our_middleware() -> bool:
    for path in settings.MIDDLEWARE:
        found = import_string(path)
        if isinstance(found, type) and issubclass(found, SessionMiddleware):
            return True
    return False
