"""What ``app.config`` says about sessions, read for each request and resolved when it changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

from flask import Flask

from sessionstore.core.assurance import Limits, limits_of
from sessionstore.core.config import DEFAULT_IDLE_TIMEOUT, SessionConfig
from sessionstore.core.errors import ConfigurationError
from sessionstore.manager import SessionManager
from sessionstore.settings import Managers, find_keys, find_url
from sessionstore.stores.base import Store

PREFIX: Final = "SESSIONSTORE_"
SUBJECT_KEY: Final = "_user_id"
"""Flask-Login's attribute: by default the session's subject follows it."""

# `session.permanent` says whether a cookie ends with the browser, and Flask deletes what is empty.
_NOT_FLASKS: Final = {"browser_session", "keep_empty"}
_CORE: Final = {field.name for field in dataclasses.fields(SessionConfig)} - _NOT_FLASKS
OPTIONS: Final = frozenset(_CORE | {"url", "store"})
"""Every setting: ``SESSIONSTORE_<NAME>`` in ``app.config``, or a keyword of ``SessionStore``."""

_ADAPTER: Final = {"url", "store", "secret_key", "secret_key_fallbacks", "touch_on_read"}
_NAMES: Final = {f"{PREFIX}{name.upper()}": name for name in sorted(OPTIONS)}
_FLASKS: Final = (
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "PERMANENT_SESSION_LIFETIME",
    "SESSION_REFRESH_EACH_REQUEST",
    "APPLICATION_ROOT",
    *(
        f"SESSION_COOKIE_{name}"
        for name in ("NAME", "DOMAIN", "PATH", "SECURE", "SAMESITE", "PARTITIONED")
    ),
)
_READ: Final = (*_NAMES, *_FLASKS)


class Settings(NamedTuple):
    """The settings of one request.

    :param permanent_lifetime: seconds: the idle timeout of permanent sessions
    :param refresh: whether the cookie of a permanent session is sent with every response
    :param touch_on_read: whether reading a session that is not permanent counts as activity
    """

    manager: SessionManager
    permanent_lifetime: float
    refresh: bool
    touch_on_read: bool


class _Resolved(NamedTuple):
    """What the settings were when they were last looked at closely.

    :param values: of ``app.config``, in the order of their names here
    :param changing: which of them can be changed in place
    :param copies: of those
    :param settings: what they mean
    """

    values: tuple[Any, ...]
    changing: list[int]
    copies: list[Any]
    settings: Settings | None


class SettingsReader:
    """Finds the settings of an application.

    :param options: what was given in code; it goes before ``app.config``
    :param managers: keeps stores and managers
    :param check: called when the settings have changed, to refuse those that cannot work
    """

    def __init__(
        self, options: Mapping[str, Any], managers: Managers, check: Callable[[Flask], None]
    ) -> None:
        unknown = options.keys() - OPTIONS
        if unknown:
            raise ConfigurationError(_unknown(unknown, OPTIONS))
        self._options = dict(options)
        self._managers = managers
        self._check = check
        self._last: _Resolved | None = None

    def read(self, app: Flask) -> Settings | None:
        """The settings now; None if there is no secret key, so that there can be no session.

        :raises ConfigurationError: saying what to change
        """
        # For every request: most settings are what they were, the very same object.
        values = tuple(map(app.config.get, _READ))
        last = self._last
        if last is None or last.values != values or _frozen(values, last.changing) != last.copies:
            changing = [at for at, value in enumerate(values) if isinstance(value, (list, dict))]
            copies = _frozen(values, changing)
            last = self._last = _Resolved(values, changing, copies, self._resolve(app))
        return last.settings

    def _resolve(self, app: Flask) -> Settings | None:
        self._check(app)
        options = self._find_options(app)
        store = self._find_store(options)
        key, fallbacks = find_keys(
            options.get("secret_key"),
            options.get("secret_key_fallbacks") or (),
            app.secret_key,
            app.config["SECRET_KEY_FALLBACKS"] or (),
        )
        if key is None:
            return None
        lifetime = _permanent_lifetime(app, limits_of(options.get("assurance")))
        # A shorter lifetime counts for every session: Flask, too, refuses whatever is older.
        idle_timeout = min(DEFAULT_IDLE_TIMEOUT, lifetime)
        core = {name: value for name, value in options.items() if name not in _ADAPTER}
        config = SessionConfig(
            secret_key=key,
            secret_key_fallbacks=fallbacks,
            browser_session=True,
            # Whether a read touches depends on `session.permanent`: the interface says so.
            touch_on_read=False,
            **{"idle_timeout": idle_timeout, "subject_key": SUBJECT_KEY, **core},
        )
        return Settings(
            manager=self._managers.get(store, config),
            permanent_lifetime=lifetime,
            refresh=bool(app.config["SESSION_REFRESH_EACH_REQUEST"]),
            touch_on_read=bool(options.get("touch_on_read", True)),
        )

    def _find_options(self, app: Flask) -> dict[str, Any]:
        unknown = {name for name in app.config if name.startswith(PREFIX) and name not in _NAMES}
        if unknown:
            raise ConfigurationError(_unknown(unknown, _NAMES))
        found = {name: app.config[key] for key, name in _NAMES.items() if key in app.config}
        return {name: _seconds(value) for name, value in {**found, **self._options}.items()}

    def _find_store(self, options: Mapping[str, Any]) -> Store:
        store, url = options.get("store"), options.get("url")
        if store is None:
            return self._managers.store(find_url(url))
        if url is not None:
            raise ConfigurationError(f"give {PREFIX}URL or {PREFIX}STORE, not both")
        if not isinstance(store, Store):
            raise ConfigurationError(
                f"{PREFIX}STORE is a {type(store).__name__}: give a Store, or {PREFIX}URL its URL"
            )
        return store


def _permanent_lifetime(app: Flask, limits: Limits) -> float:
    """Seconds. Flask's own default gives way to an assurance level's idle timeout."""
    lifetime = app.permanent_session_lifetime
    if lifetime == Flask.default_config["PERMANENT_SESSION_LIFETIME"]:
        return min(lifetime.total_seconds(), limits.idle)
    limits.check_idle("PERMANENT_SESSION_LIFETIME", lifetime.total_seconds())
    return lifetime.total_seconds()


def _unknown(names: set[str], known: Any) -> str:
    return f"unknown: {', '.join(sorted(names))}. There are: {', '.join(sorted(known))}"


def _seconds(value: Any) -> Any:
    """Flask's own times may be ``timedelta``; so may ours."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def _frozen(values: tuple[Any, ...], changing: list[int]) -> list[Any]:
    """Copies of what could be changed in place, so that the change is seen."""
    return [values[at].copy() for at in changing]
