"""What a store holds, and for how long: across fork, and per event loop.

A connection belongs to the process that opened it, and an asyncio one to its event loop. A store
belongs to neither: it is made once, before the server forks, and is used from many loops
(Starlette's TestClient runs one per client; ``asyncio.run`` per call makes one each).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet


class ForksSafely(Protocol):
    """Something that must forget its connections in a forked child."""

    def after_fork(self) -> None:
        """In the child: drop what belongs to the parent, without a word to the server."""


_forgetful: WeakSet[Any] = WeakSet()


def forget_after_fork(thing: ForksSafely) -> None:
    """Have ``thing.after_fork()`` called in every child process, for as long as it lives."""
    _forgetful.add(thing)


def _after_fork() -> None:
    for thing in list(_forgetful):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class LoopBound(Protocol):
    """A resource that lives in one event loop."""

    async def aclose(self) -> None:
        """Close, in its own loop."""

    def abandon(self) -> None:
        """Release what the operating system holds, without the loop: it is closed, or it is the
        parent's and this is a forked child."""


R = TypeVar("R", bound=LoopBound)


class PerLoop(Generic[R]):
    """One resource for each event loop, closed when its loop ends.

    The end of a loop is noticed in two ways: an asynchronous generator that the loop's owner
    finishes by ``shutdown_asyncgens()`` (``asyncio.run``, uvicorn, anyio and asgiref all do), and,
    for loops that were closed without it, a look around whenever another loop comes by.
    """

    def __init__(self, make: Callable[[], R]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._held: dict[asyncio.AbstractEventLoop, tuple[R, AsyncGenerator[None, None]]] = {}
        self._parents: list[Any] = []
        forget_after_fork(self)

    def get(self) -> R:
        """The running loop's resource."""
        loop = asyncio.get_running_loop()
        try:
            return self._held[loop][0]
        except KeyError:
            return self._add(loop)

    def _add(self, loop: asyncio.AbstractEventLoop) -> R:
        resource = self._make()
        guard = _until_loop_ends(resource, lambda: self._held.pop(loop, None))
        # One step of the generator, which awaits nothing before its yield: from here on the loop
        # knows of it.
        with suppress(StopIteration):
            guard.asend(None).send(None)
        self.sweep()
        self._held[loop] = (resource, guard)
        return resource

    def everywhere(self) -> list[R]:
        """The resources of all loops; each belongs to its own."""
        return [resource for resource, _ in list(self._held.values())]

    async def aclose(self) -> None:
        """Close the running loop's resource, if there is one."""
        held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[1].aclose()

    def sweep(self) -> None:
        """Release what belongs to loops that are closed."""
        with self._lock:
            dead = [loop for loop in self._held if loop.is_closed()]
            abandoned = [self._held.pop(loop)[0] for loop in dead]
        for orphan in abandoned:
            orphan.abandon()

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        # Kept and never collected: closing a transport here would take its socket out of the
        # epoll set that the parent's loop still uses.
        self._parents.extend(self._held.values())
        for resource, _ in self._held.values():
            resource.abandon()
        self._held = {}


async def _until_loop_ends(
    resource: LoopBound, forget: Callable[[], object]
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        forget()
        await resource.aclose()
