"""Errors that are ours and Django's at once, so that code written for either catches them."""

from __future__ import annotations

from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import ImproperlyConfigured

from sessionstore.core.errors import ConfigurationError, SessionGone


class SettingsError(ConfigurationError, ImproperlyConfigured):
    """A setting that cannot work; the message says what to do."""


class SessionDeleted(SessionGone, UpdateError):
    """A save after the session was destroyed or changed hands; its writes were dropped.

    Django's middleware answers 400 to it, ours 409.
    """

    def __init__(self, handle: str, message: str) -> None:
        Exception.__init__(self, message)
        self.handle = handle
