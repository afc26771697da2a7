"""From Django's settings to a session manager; read per request, made only when they changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sessionstore.core.assurance import Limits, limits_of
from sessionstore.core.config import Secret, SessionConfig
from sessionstore.core.cookies import check_settings
from sessionstore.core.errors import ConfigurationError
from sessionstore.django.errors import SettingsError
from sessionstore.manager import SessionManager
from sessionstore.settings import (
    FALLBACKS_VARIABLE,
    SECRET_VARIABLE,
    URL_VARIABLE,
    Managers,
    find_keys,
    find_url,
)
from sessionstore.stores.base import Store

ENGINE: Final = "sessionstore.django"

_DJANGO_DECIDES: Final = {
    "IDLE_TIMEOUT": "SESSION_COOKIE_AGE",
    "BROWSER_SESSION": "SESSION_EXPIRE_AT_BROWSER_CLOSE",
    "TOUCH_ON_READ": "SESSION_SAVE_EVERY_REQUEST",
    "KEEP_EMPTY": "session.flush(), which is how Django ends a session",
}
_CORE: Final = {
    field.name.upper(): field.name
    for field in fields(SessionConfig)
    if field.name.upper() not in _DJANGO_DECIDES
}
OPTIONS: Final = frozenset({"URL", "STORE", *_CORE})
"""What may stand in ``SESSIONSTORE``: where sessions are kept, and the core's own settings."""

_READ: Final = (
    *("SESSIONSTORE", "SECRET_KEY", "SECRET_KEY_FALLBACKS"),
    *("SESSION_COOKIE_AGE", "SESSION_EXPIRE_AT_BROWSER_CLOSE"),
)

managers: Final = Managers()
_latest: tuple[Any, SessionManager] | None = None


def get_manager() -> SessionManager:
    """The manager of the settings as they are now.

    :raises SettingsError: they cannot work
    """
    global _latest  # noqa: PLW0603 (one tuple, replaced whole: safe to race for)
    seen = _snapshot()
    latest = _latest
    if latest is not None and latest[0] == seen:
        return latest[1]
    try:
        manager = _make()
    except SettingsError:
        raise
    except ConfigurationError as error:
        raise SettingsError(str(error)) from error
    _latest = (seen, manager)
    return manager


def _snapshot() -> tuple[Any, ...]:
    """Everything that a manager depends on, so that a change to any of it is seen."""
    try:
        options, secret, fallbacks, *rest = setting_values(_READ)
    except (AttributeError, ImproperlyConfigured):  # no SESSIONSTORE, or an empty SECRET_KEY
        options, secret = _options(), _framework_secret()
        fallbacks, *rest = setting_values(_READ[2:])
    if not isinstance(options, dict):
        options = _options()
    options = {name: _kept(value) for name, value in options.items()}
    return (options, str(secret), list(fallbacks), _environment(options), *rest)


def _kept(value: Any) -> Any:
    """A setting's value as it is now, should somebody change it in place."""
    return value.copy() if isinstance(value, list | dict) else value


def setting_values(names: tuple[str, ...]) -> list[Any]:
    """The values of Django's settings. Where Django keeps those that were asked for before, they
    are found in a tenth of the time that ``settings.NAME`` takes."""
    known = vars(settings)
    return [known[name] if name in known else getattr(settings, name) for name in names]


def _environment(options: dict[str, Any]) -> tuple[str | None, ...]:
    """Those variables that count beside these options; for every request, and a look takes 1 us."""
    url = secret = fallbacks = None
    if not options.get("URL") and options.get("STORE") is None:
        url = os.environ.get(URL_VARIABLE)
    if not options.get("SECRET_KEY"):
        secret = os.environ.get(SECRET_VARIABLE)
        fallbacks = os.environ.get(FALLBACKS_VARIABLE) if secret else None
    return url, secret, fallbacks


def _options() -> dict[str, Any]:
    options = getattr(settings, "SESSIONSTORE", {})
    if not isinstance(options, dict):
        raise SettingsError("SESSIONSTORE must be a dictionary")
    return options


def _framework_secret() -> str | None:
    try:
        return str(settings.SECRET_KEY)
    except ImproperlyConfigured:  # an empty one; it is not needed where ours is set
        return None


def _make() -> SessionManager:
    options = _options()
    for name in options:
        if name not in OPTIONS:
            raise _unknown(str(name))
    explicit: Secret | None = options.get("SECRET_KEY")
    explicit_fallbacks: Iterable[Secret] = options.get("SECRET_KEY_FALLBACKS", ())
    if explicit_fallbacks and not explicit:
        raise SettingsError(
            "SESSIONSTORE has SECRET_KEY_FALLBACKS but no SECRET_KEY: fallbacks belong to the key"
            " from the same place; write both there, or neither"
        )
    key, fallbacks = find_keys(
        explicit, explicit_fallbacks, _framework_secret(), settings.SECRET_KEY_FALLBACKS
    )
    core = {_CORE[name]: value for name, value in options.items() if name in _CORE}
    core.update(secret_key=key, secret_key_fallbacks=fallbacks)
    core.setdefault("subject_key", "_auth_user_id")
    config = SessionConfig(
        **core,
        idle_timeout=_idle_timeout(limits_of(core.get("assurance"))),
        browser_session=bool(settings.SESSION_EXPIRE_AT_BROWSER_CLOSE),
        touch_on_read=False,
        keep_empty=True,
    )
    return managers.get(_store(options), config)


def _idle_timeout(limits: Limits) -> float:
    """Seconds. Django's own default gives way to an assurance level's idle timeout."""
    age = float(settings.SESSION_COOKIE_AGE)
    if not settings.is_overridden("SESSION_COOKIE_AGE"):
        return min(age, limits.idle)
    limits.check_idle("SESSION_COOKIE_AGE", age)
    return age


def _store(options: dict[str, Any]) -> Store:
    store = options.get("STORE")
    if store is None:
        return managers.store(find_url(options.get("URL")))
    if not isinstance(store, Store) or "URL" in options:
        raise SettingsError("SESSIONSTORE: give a URL, or as STORE what open_store() returned")
    return store


def _unknown(name: str) -> SettingsError:
    if name in _DJANGO_DECIDES:
        return SettingsError(
            f"SESSIONSTORE: {name} is Django's to say: use {_DJANGO_DECIDES[name]}"
        )
    return SettingsError(f"SESSIONSTORE: unknown name {name!r}; there are {sorted(OPTIONS)}")


def cookie_partitioned() -> bool:
    """Whether the cookie is to be Partitioned (CHIPS). Django has no such setting of its own."""
    # Of the settings themselves: the lazy ones take 3 us to say that there is none.
    holder: Any = settings._wrapped
    return bool(getattr(holder, "SESSION_COOKIE_PARTITIONED", False))


def check_configuration() -> None:
    """Refuse settings that cannot work, the cookie's included.

    :raises SettingsError: saying what to change
    """
    get_manager()
    try:
        check_settings(
            settings.SESSION_COOKIE_NAME,
            secure=bool(settings.SESSION_COOKIE_SECURE),
            path=settings.SESSION_COOKIE_PATH,
            domain=settings.SESSION_COOKIE_DOMAIN,
            same_site=settings.SESSION_COOKIE_SAMESITE or None,
        )
    except ConfigurationError as error:
        raise SettingsError(str(error)) from error
    if cookie_partitioned() and not settings.SESSION_COOKIE_SECURE:
        raise SettingsError("SESSION_COOKIE_PARTITIONED needs SESSION_COOKIE_SECURE = True")


def check_if_in_use() -> None:
    """:func:`check_configuration`, if this is the session engine of configured settings."""
    if settings.configured and settings.SESSION_ENGINE == ENGINE:
        check_configuration()
