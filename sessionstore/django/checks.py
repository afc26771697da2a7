"""``manage.py check``: the settings, and what needs our middleware."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from sessionstore.django.configuration import ENGINE, check_configuration, get_manager
from sessionstore.django.errors import SettingsError
from sessionstore.django.middleware import SessionMiddleware

_SHORT: Final = ("aal2", "aal3")


def check_sessions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001: settings that cannot work. E002: a setting that Django's own middleware ignores.
    W001: an assurance level by whose idle timeout readers would be logged out."""
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
    if get_manager().config.assurance in _SHORT and not settings.SESSION_SAVE_EVERY_REQUEST:
        return [
            checks.Warning(
                "SESSIONSTORE: with this ASSURANCE a session ends an hour or less after its last"
                " activity; without SESSION_SAVE_EVERY_REQUEST only a write counts as activity.",
                hint="Set SESSION_SAVE_EVERY_REQUEST = True, or whoever only reads is logged out.",
                id="sessionstore.W001",
            )
        ]
    return []


def _uses_our_middleware() -> bool:
    for path in settings.MIDDLEWARE:
        found = import_string(path)
        if isinstance(found, type) and issubclass(found, SessionMiddleware):
            return True
    return False
