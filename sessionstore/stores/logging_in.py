"""Opening a connection with the credentials of this moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from sessionstore.core.flow import Command, Flow, arun, run
from sessionstore.stores.attempts import Failure
from sessionstore.stores.credentials import Credential, Credentials

T = TypeVar("T")

_ASK: Final = object()


def _opened(credentials: Credentials | None) -> Flow[tuple[Any, Credential | None]]:
    """Yields ``_ASK`` for a credential, and the credential (or None) to open a connection with."""
    if credentials is None:
        return (yield Command(None)), None
    credential = yield Command(_ASK)
    try:
        connection = yield Command(credential)
    except Failure as failure:
        if not failure.login:
            raise
        # It may have been exchanged between the asking and the telling.
        refused, credential = credential, (yield Command(_ASK))
        if credential == refused:
            raise
        connection = yield Command(credential)
    return connection, credential


def log_in(
    credentials: Credentials | None,
    until: float,
    node: str,
    open_: Callable[[Credential | None], T],
) -> tuple[T, Credential | None]:
    """A connection, and what it is logged in with.

    :param until: on the clock of :func:`time.monotonic`
    :param open_: opens one with this credential, or raises ``Failure``
    """

    def execute(step: Command[Any]) -> Any:
        if step.request is _ASK:
            assert credentials is not None  # noqa: S101 (or it would not have been asked)
            return credentials.ask_by(until, node)
        return open_(step.request)

    return run(_opened(credentials), execute)


async def alog_in(
    credentials: Credentials | None,
    until: float,
    node: str,
    open_: Callable[[Credential | None], Awaitable[T]],
) -> tuple[T, Credential | None]:
    """:func:`log_in`, without holding up the event loop."""

    async def execute(step: Command[Any]) -> Any:
        if step.request is _ASK:
            assert credentials is not None  # noqa: S101 (or it would not have been asked)
            return await credentials.aask(until, node)
        return await open_(step.request)

    return await arun(_opened(credentials), execute)
