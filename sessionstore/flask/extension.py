"""``SessionStore``: the Flask extension."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Flask

from sessionstore.flask import failures
from sessionstore.flask.interface import StoreSessionInterface
from sessionstore.manager import Report
from sessionstore.settings import Managers

_NAME = "sessionstore"


class SessionStore:
    """Keeps the sessions of Flask applications in a store.

    Settings are looked for in the keyword arguments, then in ``app.config`` under
    ``SESSIONSTORE_*``, then (URL and secret key) in the environment. ``app.config`` is read for
    each request, so that changes count at once.

    :param app: the application; or call :meth:`init_app`
    :param on_report: called with what an operator may want to count
    :param clock: seconds since the epoch; tests pass their own
    :param options: ``url``, ``store`` (an open :class:`~sessionstore.Store`), and the settings of
        :class:`~sessionstore.SessionConfig` by their names
    :raises ConfigurationError: saying what to change
    """

    interface_class = StoreSessionInterface

    def __init__(
        self,
        app: Flask | None = None,
        *,
        on_report: Report | None = None,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        self._managers = Managers(on_report, clock)
        self._options = options
        self.interface_class(options, self._managers)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Have this application's sessions kept in the store.

        :raises ConfigurationError: saying what to change
        """
        interface = self.interface_class(self._options, self._managers)
        interface.settings.read(app)
        app.session_interface = interface
        if _NAME not in app.extensions:
            failures.install(app)
        app.extensions[_NAME] = self

    def close(self) -> None:
        """Close the stores that were opened here, by their URL."""
        self._managers.close()
