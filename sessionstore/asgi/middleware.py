"""``SessionMiddleware``: a drop-in for Starlette's own, with the sessions kept in a store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypedDict, Unpack

from sessionstore.asgi.connection import Connection
from sessionstore.asgi.headers import CookieHeaders
from sessionstore.asgi.session import ASGISession, ManualSession
from sessionstore.asgi.types import ASGIApp, Message, Receive, Scope, Send
from sessionstore.core.assurance import Level, limits_of
from sessionstore.core.config import Secret, SessionConfig
from sessionstore.core.errors import ConfigurationError
from sessionstore.core.merge import MergeFunction
from sessionstore.manager import Report, SessionManager
from sessionstore.settings import SECRET_VARIABLE, find_keys, find_url
from sessionstore.stores.base import Store
from sessionstore.stores.url import open_store

_LOADS: Final = ("auto", "manual")
DEFAULT_MAX_AGE: Final = 14 * 24 * 60 * 60
"""Seconds; Starlette's own."""


class Settings(TypedDict, total=False):
    """The core's settings that the middleware takes by name; ``SessionConfig`` explains them."""

    encryption_keys: Iterable[Secret]
    encrypt: bool
    idle_timeout: float
    absolute_timeout: float | None
    assurance: Level | None
    touch_interval: float | None
    touch_on_read: bool
    rotation_grace: float
    clock_skew: float
    max_size: int
    compress_over: int
    compression: str
    merge: Mapping[str, MergeFunction] | Iterable[tuple[str, MergeFunction]]
    subject_key: str | None
    identity_keys: Iterable[str]
    on_unavailable: Literal["error", "anonymous"]


class SessionMiddleware:
    """Gives ``request.session`` and ``websocket.session`` to an ASGI application.

    The first nine parameters are those of Starlette's middleware, with its defaults.

    :param app: the application
    :param secret_key: signs cookies: text, bytes, Starlette's ``Secret`` or pydantic's
        ``SecretStr``; None: the environment's ``SESSIONSTORE_SECRET_KEY``
    :param session_cookie: the cookie's name; ``__Host-session`` is the safest where there is HTTPS
    :param max_age: seconds without activity after which a session ends, in the store and in the
        browser. None: the cookie ends with the browser, and the session after ``idle_timeout``
        (14 days). Zero or less: nothing is kept. The default gives way to an assurance level's
        idle timeout where that is shorter
    :param path: the cookie's path; the ``root_path`` of a mounted application is ignored
    :param same_site: ``"lax"``, ``"strict"`` or ``"none"``
    :param https_only: whether the cookie has the Secure attribute
    :param domain: the cookie's domain; None: this host only
    :param partitioned: whether the cookie has the Partitioned attribute
    :param url: where sessions are kept (:func:`sessionstore.open_store`); None: the environment's
        ``SESSIONSTORE_URL``. The store is closed when the application shuts down
    :param store: an open store instead of its URL; whoever opened it closes it
    :param secret_key_fallbacks: retired keys that still verify, newest first
    :param load: ``"auto"`` loads before the application is called, if the cookie's signature is
        good; with ``"manual"`` the application awaits ``session.load()`` where it needs it
    :param on_report: called with what an operator may want to count
    :param clock: seconds since the epoch; tests pass their own
    :param settings: any of :class:`~sessionstore.SessionConfig`'s
    :raises ConfigurationError: saying what to change

    >>> from sessionstore import MemoryStore
    >>> async def app(scope, receive, send):
    ...     scope["session"]["visits"] = scope["session"].get("visits", 0) + 1
    >>> app = SessionMiddleware(app, secret_key="k" * 32, store=MemoryStore())
    """

    def __init__(
        self,
        app: ASGIApp,
        secret_key: object = None,
        session_cookie: str = "session",
        max_age: int | None = DEFAULT_MAX_AGE,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
        *,
        url: str | None = None,
        store: Store | None = None,
        secret_key_fallbacks: Iterable[object] = (),
        load: Literal["auto", "manual"] = "auto",
        on_report: Report | None = None,
        clock: Callable[[], float] = time.time,
        **settings: Unpack[Settings],
    ) -> None:
        if load not in _LOADS:
            raise ConfigurationError(f"load={load!r}: use 'auto' or 'manual'")
        if store is not None and url is not None:
            raise ConfigurationError("give the middleware a url or a store, not both")
        self.app = app
        self._headers = CookieHeaders(
            session_cookie,
            path=path,
            same_site=same_site,
            https_only=https_only,
            domain=domain,
            partitioned=partitioned,
        )
        self._loads = load == "auto"
        self._session_class = ASGISession if self._loads else ManualSession
        self._accepts = max_age is None or max_age > 0
        config = _configure(secret_key, secret_key_fallbacks, max_age, settings)
        source = find_url(url) if store is None else store
        opened = source if isinstance(source, Store) else open_store(source)
        self._owned = None if opened is store else opened
        self.manager = SessionManager(opened, config, on_report=on_report, clock=clock)
        self._origin = (session_cookie, path, domain, source, config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            if scope["type"] == "lifespan":
                send = self._closing(send)
            await self.app(scope, receive, send)
            return
        outer = scope.get("session")
        if isinstance(outer, ASGISession) and outer.origin == self._origin:
            # Added twice (to an app and to one mounted in it): one session, one cookie.
            if self._loads:
                await outer.load()
            await self.app(scope, receive, send)
            return
        cookies = self._headers.find(scope) if self._accepts else ()
        state = self.manager.begin_state(cookies, lazy=False)
        session = self._session_class(state, self.manager, self._origin)
        scope["session"] = session
        connection = Connection(scope, receive, send, session, self._headers)
        await connection.run(self.app, load=self._loads)

    def _closing(self, send: Send) -> Send:
        """A ``send`` for the lifespan that closes our store when the application has shut down."""

        async def closing(message: Message) -> None:
            if self._owned is not None and message["type"].startswith("lifespan.shutdown."):
                await self._owned.aclose()
            await send(message)

        return closing


def _configure(
    secret_key: object, fallbacks: Iterable[object], max_age: int | None, settings: Settings
) -> SessionConfig:
    if isinstance(fallbacks, (str, bytes)):
        raise ConfigurationError("secret_key_fallbacks: give a list of keys, not one key")
    retired: Iterable[Secret] = [_plain(fallback) or "" for fallback in fallbacks]
    key, retired = find_keys(_plain(secret_key), retired, None, ())
    if key is None:
        raise ConfigurationError(
            f"secret_key is missing or empty: give the middleware one, or set {SECRET_VARIABLE}"
            " (`sessionstore new-key` makes one)"
        )
    if max_age is not None and "idle_timeout" in settings:
        raise ConfigurationError("max_age is the idle timeout: use idle_timeout with max_age=None")
    if max_age is not None:
        limits = limits_of(settings.get("assurance"))
        if max_age == DEFAULT_MAX_AGE:
            max_age = int(min(max_age, limits.idle))
        limits.check_idle("max_age", max_age)
        settings = {"idle_timeout": float(max_age), **settings}
    return SessionConfig(
        secret_key=key,
        secret_key_fallbacks=retired,
        browser_session=max_age is None,
        **settings,
    )


def _plain(secret: object) -> Secret | None:
    """The key itself, out of whatever keeps it from being printed.

    :raises ConfigurationError: its text is a row of asterisks, and so no secret
    """
    if secret is None or isinstance(secret, (str, bytes)):
        return secret
    reveal: Callable[[], object] = getattr(secret, "get_secret_value", secret.__str__)
    text = reveal()
    if isinstance(text, bytes):
        return text
    if not str(text).strip("*"):
        raise ConfigurationError("secret_key is empty, or hides its value: give it as a string")
    return str(text)
