"""Who a store logs in as: a provider, asked at every connect, so that a password can be exchanged
while the application runs.

A living connection logs in again when its log-in is about to end (AWS IAM: after 12 hours) or when
the provider is seen to have another password. If that fails, the connection is used on as it is,
because the server still accepts it, and tries again later.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import random
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sessionstore.core.errors import (
    ConfigurationError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.lateness import NoThread, call_by

Provider = Callable[[], tuple[str | None, str]]
"""Returns the user name (None: the server's default user) and the password."""

WATCH_SECONDS: Final = 1.0
"""How often a file or the environment is looked at for another password."""

PUT_OFF_SECONDS: Final = 30.0
"""How long a connection that could not log in again is used on before it tries once more."""

LARGEST_FILE: Final = 65536


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name, or None for the server's default user, and a password."""

    username: str | None
    password: str = field(repr=False)


class Login:
    """What one connection is logged in with, and when to do it again.

    :param renew_at: on the clock of :func:`time.monotonic`
    """

    __slots__ = ("credential", "not_before", "renew_at")

    def __init__(self, credential: Credential, renew_at: float) -> None:
        self.credential = credential
        self.renew_at = renew_at
        self.not_before = -math.inf

    def put_off(self, now: float) -> None:
        """Logging in again did not work; the connection still does."""
        self.not_before = now + PUT_OFF_SECONDS


class Credentials:
    """A provider, and when a living connection asks it again.

    :param slow: the provider may take its time, so it is called in a thread
    :param renew: seconds after which a connection logs in again; None: never
    :param watch: seconds between looks at whether the provider has another password; None: do not
        look, because asking costs something or each answer is a new one
    """

    def __init__(
        self,
        provider: Provider,
        *,
        slow: bool = True,
        renew: float | None = None,
        watch: float | None = None,
    ) -> None:
        self._provider = provider
        self._slow = slow
        self._renew = math.inf if renew is None else renew
        self._watch = watch
        self._look_at = -math.inf
        self._latest: Credential | None = None

    def __repr__(self) -> str:
        return "<Credentials>"

    def ask(self) -> Credential:
        """What the provider says now.

        :raises StoreRefused: it failed, or its answer is none
        :raises StoreUnavailable: it failed for a reason that may pass
        """
        try:
            answer = self._provider()
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the application's code raises
            kind = StoreUnavailable if isinstance(error, OSError) else StoreRefused
            # Not its text and not its cause, which may quote the secret.
            raise kind(f"the credentials provider failed: {_where(error)}") from None
        self._latest = _checked(answer)
        return self._latest

    def ask_by(self, until: float, node: str) -> Credential:
        """:meth:`ask`, by a deadline.

        :param until: on the clock of :func:`time.monotonic`
        :raises Failure: no answer by then, or none that is one
        """
        try:
            return call_by(until, self.ask) if self._slow else self.ask()
        except TimeoutError:
            raise unavailable("the credentials did not come in time", node, silent=False) from None
        except NoThread as error:
            raise unavailable(f"no credentials: {error}", node, silent=False) from None
        except StoreError as error:
            error.node = node
            # Tried again within the deadline: a file may be being replaced at this moment.
            raise Failure(error) from None

    async def aask(self, until: float, node: str) -> Credential:
        """:meth:`ask_by`, without holding up the event loop."""
        if not self._slow:
            return self.ask_by(until, node)
        try:
            return await asyncio.to_thread(self.ask_by, until, node)
        except RuntimeError:  # asyncio's own; what a provider raises is a Failure
            raise unavailable(f"no credentials: {NoThread()}", node, silent=False) from None

    def login(self, credential: Credential) -> Login:
        """What to keep beside a connection that has just logged in."""
        # Spread, so that connections opened together do not all log in again together.
        renew = self._renew * random.uniform(0.9, 1)  # noqa: S311 (jitter)
        return Login(credential, time.monotonic() + renew)

    def is_due(self, login: Login, now: float) -> bool:
        """Whether a connection should log in again, before it is next used."""
        if now < login.not_before:
            return False
        return now >= login.renew_at or (self._watch is not None and self._changed(login, now))

    def _changed(self, login: Login, now: float) -> bool:
        if now >= self._look_at:
            self._look_at = now + (self._watch or 0)
            with suppress(StoreError):  # the log-in holds; connecting will say what is wrong
                self.ask()
        return login.credential != self._latest


def _where(error: Exception) -> str:
    """Which error, and in which line of the provider."""
    kind, places = type(error).__name__, traceback.extract_tb(error.__traceback__)
    return f"{kind} in {Path(places[-1].filename).name}, line {places[-1].lineno}"


def _checked(answer: object) -> Credential:
    match answer:
        case (str() | None as username, str(password)) if password:
            try:
                (username or "").encode()
                password.encode()
            except UnicodeEncodeError:
                raise StoreRefused("the user name or password cannot be written as UTF-8") from None
            return Credential(username or None, password)
    raise StoreRefused("the credentials provider must return (user name or None, password)")


def from_code(provider: Any, renew: float | None) -> Credentials:
    """``open_store(url, credentials=provider)``.

    :raises ConfigurationError: it cannot be called, or is a coroutine function
    """
    if isinstance(provider, Credentials):
        return provider
    # redis-py's CredentialProvider, of which there are many (redis-entraid is one).
    if not callable(provider) and hasattr(provider, "get_credentials"):
        get = provider.get_credentials
        return Credentials(lambda: (None, *get())[-2:], renew=renew)
    if not callable(provider):
        raise ConfigurationError("credentials= is a function that returns (user name, password)")
    if any(inspect.iscoroutinefunction(each) for each in (provider, type(provider).__call__)):
        raise ConfigurationError(
            "credentials= is an ordinary function, not an async one: it is called in a thread"
        )
    return Credentials(provider, renew=renew)


def fixed(username: str | None, password: str) -> Credentials:
    """A password that does not change."""
    return Credentials(lambda: (username, password), slow=False)


def from_environment(
    username: str | None, username_env: str | None, password_env: str, renew: float | None
) -> Credentials:
    """A password in an environment variable.

    :raises ConfigurationError: a variable is not set, or empty
    """

    def variable(name: str) -> str:
        value = os.environ.get(name)
        if not value:
            raise StoreRefused(f"the environment variable {name} is not set, or empty")
        return value

    def provider() -> tuple[str | None, str]:
        return variable(username_env) if username_env else username, variable(password_env)

    return _checked_now(Credentials(provider, slow=False, renew=renew, watch=WATCH_SECONDS))


def from_files(
    username: str | None, username_file: str | None, password_file: str, renew: float | None
) -> Credentials:
    """A password in a file, such as a mounted secret; read again when the file changes.

    :raises ConfigurationError: a file cannot be read, or is empty
    """

    def provider() -> tuple[str | None, str]:
        # Without a look at the time of its last change, which two quick changes can share.
        name = read_secret(username_file) if username_file else username
        return name, read_secret(password_file)

    return _checked_now(Credentials(provider, slow=False, renew=renew, watch=WATCH_SECONDS))


def _checked_now(credentials: Credentials) -> Credentials:
    """A mistyped name is found at start-up, not at the first request."""
    try:
        credentials.ask()
    except StoreError as error:
        raise ConfigurationError(str(error)) from None
    return credentials


def read_secret(path: str) -> str:
    """A small text file's content, without the line break at its end.

    :raises StoreRefused: it cannot be read, is empty or is not one line of text
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise StoreRefused(f"{path} cannot be read: {why}") from None
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise StoreRefused(f"{path} is not UTF-8") from None
    if not text or len(data) > LARGEST_FILE or "\n" in text:
        raise StoreRefused(f"{path} is not one line with a secret in it")
    return text
