"""Where adapters get their store, their keys and their manager from; the same for each.

Keys and URL come from the explicit option, then the environment (``SESSIONSTORE_URL``,
``SESSIONSTORE_SECRET_KEY``), then the framework's own secret; fallbacks only from the source
that the key itself came from (``SESSIONSTORE_SECRET_KEY_FALLBACKS``, separated by spaces).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from sessionstore.core.config import Secret, SessionConfig
from sessionstore.core.errors import ConfigurationError
from sessionstore.manager import Report, SessionManager
from sessionstore.stores.base import Store
from sessionstore.stores.url import open_store

URL_VARIABLE: Final = "SESSIONSTORE_URL"
SECRET_VARIABLE: Final = "SESSIONSTORE_SECRET_KEY"  # noqa: S105 (the name of a variable)
FALLBACKS_VARIABLE: Final = "SESSIONSTORE_SECRET_KEY_FALLBACKS"
_MOST_MANAGERS: Final = 64


def find_url(explicit: str | None) -> str:
    """The store's URL.

    :raises ConfigurationError: none is set
    """
    url = explicit or os.environ.get(URL_VARIABLE)
    if not url:
        raise ConfigurationError(
            f"no session store: set {URL_VARIABLE} (in the app's settings or the environment),"
            " for example redis://localhost:6379/0 or sqlite:///sessions.db"
        )
    return url


def find_keys(
    explicit: Secret | None,
    explicit_fallbacks: Iterable[Secret],
    framework: Secret | None,
    framework_fallbacks: Iterable[Secret],
) -> tuple[Secret | None, tuple[Secret, ...]]:
    """The secret key and its fallbacks (newest first), from one source; None: there is none.

    :raises ConfigurationError: the fallbacks are one key instead of a list of keys
    """
    for fallbacks in (explicit_fallbacks, framework_fallbacks):
        if isinstance(fallbacks, (str, bytes)):
            # Taken for a list, its characters would each become a key that anybody can guess.
            raise ConfigurationError("secret key fallbacks: give a list of keys, not one key")
    if explicit:
        return explicit, tuple(explicit_fallbacks)
    variable = os.environ.get(SECRET_VARIABLE)
    if variable:
        return variable, tuple(os.environ.get(FALLBACKS_VARIABLE, "").split())
    return framework or None, tuple(framework_fallbacks)


class Managers:
    """The managers of an application: one for each store and configuration, made when needed.

    Configurations are compared by value, because applications change their settings at run time
    (tests do it all the time) and a manager derives its keys only once.

    :param on_report: each manager's
    :param clock: each manager's: seconds since the epoch
    """

    def __init__(
        self, on_report: Report | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._on_report = on_report
        self._clock = clock
        self._lock = threading.Lock()
        self._stores: dict[str, Store] = {}
        self._managers: dict[tuple[int, SessionConfig], SessionManager] = {}

    def store(self, url: str, opener: Callable[[str], Store] = open_store) -> Store:
        """The store of this URL, opened once."""
        store = self._stores.get(url)
        if store is None:
            with self._lock:
                store = self._stores.get(url)
                if store is None:
                    store = self._stores[url] = opener(url)
        return store

    def get(self, store: Store, config: SessionConfig) -> SessionManager:
        """The manager of this store and configuration."""
        key = (id(store), config)
        manager = self._managers.get(key)
        if manager is None or manager.store is not store:
            manager = SessionManager(store, config, on_report=self._on_report, clock=self._clock)
            with self._lock:
                if len(self._managers) >= _MOST_MANAGERS:
                    self._managers.clear()
                self._managers[key] = manager
        return manager

    def close(self) -> None:
        """Close every store that was opened here."""
        with self._lock:
            stores = list(self._stores.values())
        for store in stores:
            store.close()
