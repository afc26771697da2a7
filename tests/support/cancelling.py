"""Ends requests in the middle: asyncio's at exactly one of their awaits, others by a signal."""

from __future__ import annotations

import asyncio
import itertools
import signal
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_await: ContextVar[int | None] = ContextVar("_await", default=None)


@contextmanager
def cancelling(number: int) -> Iterator[None]:
    """What is :func:`cancellable` in this block is cancelled at its so-many-th await, from 0 on."""
    token = _await.set(number)
    try:
        yield
    finally:
        _await.reset(token)


async def cancellable(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await this; the task that does so is cancelled where :func:`cancelling` says so."""
    number = _await.get()
    result: T = await (coroutine if number is None else _cancelled_at(number, coroutine))
    return result


@types.coroutine
def _cancelled_at(number: int, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    task = asyncio.current_task()
    assert task is not None
    error: BaseException | None = None
    for count in itertools.count():
        try:
            waits_for = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            result: T = stop.value
            return result
        error = None
        if count == number:
            task.cancel()  # and so is what it waits for now
        try:
            yield waits_for
        except BaseException as caught:  # noqa: BLE001 - it is the coroutine's
            error = caught
    raise AssertionError


class Interrupted(BaseException):
    """Not KeyboardInterrupt, which would end the test run if it came too early or too late."""


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raises :class:`Interrupted` in this block, in the main thread, as a worker's timeout does."""
    with interruptible() as interrupt_in:
        interrupt_in(seconds)
        yield


@contextmanager
def interruptible() -> Iterator[Callable[[float], None]]:
    """Gives a function that has this block interrupted, so many seconds after it was called."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    def interrupt_in(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield interrupt_in
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def django_middleware(get_response: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Django middleware that makes what is below it cancellable."""

    def middleware(request: Any) -> Awaitable[Any]:
        return cancellable(get_response(request))

    from asgiref.sync import markcoroutinefunction

    return markcoroutinefunction(middleware)


django_middleware.async_capable = True  # type: ignore[attr-defined]
django_middleware.sync_capable = False  # type: ignore[attr-defined]
