"""A bounded pool of blocking connections.

A connection is back in the pool only after exactly one whole reply to exactly one whole command.
Whatever else happens (a timeout, KeyboardInterrupt, gevent killing the greenlet), it is closed,
so that no command ever gets another's reply.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.redis.endpoint import Endpoint
from sessionstore.stores.redis.link import Link


class Pool:
    """At most ``size`` links, the most recently used first.

    Nothing is done under the lock that could take time or, with gevent, let others run: so nobody
    can be killed while waiting for it. (``threading.Condition`` would not do: a greenlet that is
    killed in its ``wait()`` may release a lock that it does not hold.)
    """

    def __init__(self, endpoint: Endpoint, size: int) -> None:
        self._endpoint = endpoint
        self._size = size
        self._aborted = False
        self._reset()
        forget_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        # Each one locked, and released when its turn has come.
        self._waiting: deque[threading.Lock] = deque()
        self._idle: list[Link] = []
        self._busy: set[Link] = set()
        self._open = 0
        self._generation = object()

    after_fork = _reset

    @property
    def open(self) -> int:
        """How many links there are, idle and in use."""
        return self._open

    def take(self, until: float) -> tuple[Link, object]:
        """A link, and the generation to give it back to.

        :raises Failure: none was free, or connecting failed
        """
        while True:
            turn = None
            with self._lock:
                if self._aborted:
                    raise self._ended()
                generation, link = self._generation, None
                if self._idle:
                    link = self._idle.pop()
                    self._busy.add(link)
                elif self._open < self._size:
                    self._open += 1
                else:
                    turn = threading.Lock()
                    turn.acquire()
                    self._waiting.append(turn)
            if turn is not None:
                self._wait(turn, until)
            elif link is None:
                return self._connect(generation, until), generation
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
                f"all {self._size} connections are in use (max_connections)",
                self._endpoint.node,
                silent=False,
            )

    def _next(self) -> None:
        if self._waiting:
            self._waiting.popleft().release()

    def _connect(self, generation: object, until: float) -> Link:
        link = None
        try:
            link = Link(self._endpoint, until)
        finally:
            if link is None:
                self._forget(generation)
        with self._lock:
            if generation is self._generation:
                self._busy.add(link)
                return link
        # Closed or aborted meanwhile: this may not be the server to talk to any more.
        link.close()
        raise self._ended()

    def _is_fresh(self, link: Link, generation: object) -> bool:
        fresh = False
        try:
            fresh = link.is_fresh()
        finally:
            if not fresh:
                self.drop(link, generation)
        return fresh

    def _ended(self) -> Failure:
        return unavailable("the connections were closed", self._endpoint.node, silent=False)

    def give(self, link: Link, generation: object) -> None:
        """Put a link back that has no reply pending."""
        with self._lock:
            if generation is self._generation:
                self._busy.discard(link)
                self._idle.append(link)
                self._next()
                return
        link.close()

    def drop(self, link: Link, generation: object) -> None:
        """Close a link."""
        try:
            link.close()
        finally:
            self._forget(generation, link)

    def _forget(self, generation: object, link: Link | None = None) -> None:
        with self._lock:
            if generation is self._generation:
                if link is not None:
                    self._busy.discard(link)
                self._open -= 1
                self._next()

    def abort(self) -> None:
        """Close all links now, for good: whoever waits gets a ``Failure``, and opens no other."""
        self._aborted = True
        for link in self._renew():
            link.abort()

    def close(self) -> None:
        """Close the idle links now, and those in use when they come back."""
        self._renew()

    def _renew(self) -> set[Link]:
        """Begin anew; returns the links that are still in use."""
        with self._lock:
            idle, self._idle = self._idle, []
            busy, self._busy = self._busy, set()
            self._open = 0
            self._generation = object()
            while self._waiting:
                self._next()
        for link in idle:
            link.close()
        return busy
