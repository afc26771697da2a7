"""A bounded pool of connections for synchronous code. Knows nothing of what they carry."""

from __future__ import annotations

import threading
import time
from collections import deque
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

    Nothing is done under the lock that could take time or, with gevent, let others run: so nobody
    can be killed while waiting for it. (``threading.Condition`` would not do: a greenlet that is
    killed in its ``wait()`` may release a lock that it does not hold.)

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
        self._lock = threading.Lock()
        # Each one locked, and released when its turn has come.
        self._waiting: deque[threading.Lock] = deque()
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
        while True:
            link = turn = None
            with self._lock:
                generation = self._generation
                if self._idle:
                    link = self._idle.pop()
                elif self._open < self._size:
                    self._open += 1
                else:
                    turn = threading.Lock()
                    turn.acquire()
                    self._waiting.append(turn)
            if turn is not None:
                self._wait(turn, until)
            elif link is None:
                return self._opened(generation, until), generation
            elif self._is_fresh(link, generation):
                return link, generation

    def _wait(self, turn: threading.Lock, until: float) -> None:
        came = False
        try:
            came = turn.acquire(timeout=max(until - time.monotonic(), 0))
        finally:
            if not came:
                with self._lock:
                    if turn in self._waiting:
                        self._waiting.remove(turn)
                    else:
                        self._next()  # it came at the last moment: somebody else's, then
        if not came:
            raise unavailable(
                f"all {self._size} connections are in use (max_connections)", self._node
            )

    def _next(self) -> None:
        if self._waiting:
            self._waiting.popleft().release()

    def _opened(self, generation: object, until: float) -> L:
        link = None
        try:
            link = self._connect(until)
        finally:
            if link is None:
                self._forget(generation)
        return link

    def _is_fresh(self, link: L, generation: object) -> bool:
        fresh = False
        try:
            fresh = link.is_fresh()
        finally:
            if not fresh:
                self.drop(link, generation)
        return fresh

    def give(self, link: L, generation: object) -> None:
        """Put a connection back that has no reply pending."""
        with self._lock:
            if generation is self._generation:
                self._idle.append(link)
                self._next()
                return
        link.close()

    def drop(self, link: L, generation: object) -> None:
        """Close a connection."""
        try:
            link.close()
        finally:
            self._forget(generation)

    def _forget(self, generation: object) -> None:
        with self._lock:
            if generation is self._generation:
                self._open -= 1
                self._next()

    def close(self) -> None:
        """Close the idle ones now, and those in use when they come back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._open = 0
            self._generation = object()
            while self._waiting:
                self._next()
        for link in idle:
            link.close()
