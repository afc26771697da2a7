"""For INSTALLED_APPS, which is optional: ``manage.py check`` then checks the settings."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register


class SessionStoreConfig(AppConfig):
    """Registers the checks; there are no models."""

    name = "sessionstore.django"
    label = "sessionstore"
    verbose_name = "Sessions"

    def ready(self) -> None:
        from sessionstore.django.checks import check_sessions

        register(check_sessions, Tags.security)
