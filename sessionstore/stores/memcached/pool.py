"""A bounded pool of connections for synchronous code. Knows nothing of what they carry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from sessionstore.stores.attempts import unavailable
from sessionstore.stores.lifetime import forget_after_fork


class Poolable(Protocol):
    """One connection."""

    def is_fresh(self) -> bool:
        """Whether the server has neither closed it nor said anything unasked."""

    def close(self) -> None:
        """Close it; in a forked child, without ending the parent's."""


L = TypeVar("L", bound=Poolable)


class Pool(Generic[L]):
    """At most ``size`` connections, the most recently used first.

    :param connect: opens one by the deadline that it is given, or raises
    :param node: for messages
    """

    def __init__(self, connect: Callable[[float], L], size: int, node: str) -> None:
        self._connect = connect
        self._size = size
        self._node = node
        self._reset()
        forget_after_fork(self)

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._idle: list[L] = []
        self._open = 0
        self._generation = object()

    after_fork = _reset

    @property
    def open(self) -> int:
        """How many there are, idle and in use."""
        return self._open

    def take(self, until: float) -> tuple[L, object]:
        """A connection, and the generation to give it back to.

        :raises Failure: none was free, or connecting failed
        """
        with self._changed:
            while True:
                generation = self._generation
                while self._idle:
                    link = self._idle.pop()
                    if link.is_fresh():
                        return link, generation
                    self._open -= 1
                    link.close()
                if self._open < self._size:
                    self._open += 1
                    break
                if not self._changed.wait(until - time.monotonic()):
                    raise unavailable(
                        f"all {self._size} connections are in use (max_connections)", self._node
                    )
        try:
            return self._connect(until), generation
        except BaseException:
            self._forget(generation)
            raise

    def give(self, link: L, generation: object) -> None:
        """Put a connection back that has no reply pending."""
        with self._changed:
            if generation is self._generation:
                self._idle.append(link)
                self._changed.notify()
                return
        link.close()

    def drop(self, link: L, generation: object) -> None:
        """Close a connection."""
        try:
            link.close()
        finally:
            self._forget(generation)

    def _forget(self, generation: object) -> None:
        with self._changed:
            if generation is self._generation:
                self._open -= 1
                self._changed.notify()

    def close(self) -> None:
        """Close the idle ones now, and those in use when they come back."""
        with self._changed:
            idle, self._idle = self._idle, []
            self._open = 0
            self._generation = object()
            self._changed.notify_all()
        for link in idle:
            link.close()
