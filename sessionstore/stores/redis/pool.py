"""A bounded pool of blocking connections.

A connection is back in the pool only after exactly one whole reply to exactly one whole command.
Whatever else happens (a timeout, KeyboardInterrupt, gevent killing the greenlet), it is closed,
so that no command ever gets another's reply.
"""

from __future__ import annotations

import threading
import time

from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.redis.endpoint import Endpoint
from sessionstore.stores.redis.link import Link


class Pool:
    """At most ``size`` links, the most recently used first."""

    def __init__(self, endpoint: Endpoint, size: int) -> None:
        self._endpoint = endpoint
        self._size = size
        self._aborted = False
        self._reset()
        forget_after_fork(self)

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
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
        with self._changed:
            while True:
                if self._aborted:
                    raise self._ended()
                generation = self._generation
                while self._idle:
                    link = self._idle.pop()
                    if link.is_fresh():
                        self._busy.add(link)
                        return link, generation
                    self._open -= 1
                    link.close()
                if self._open < self._size:
                    self._open += 1
                    break
                if not self._changed.wait(until - time.monotonic()):
                    raise unavailable(
                        f"all {self._size} connections are in use (max_connections)",
                        self._endpoint.node,
                        silent=False,
                    )
        try:
            link = Link(self._endpoint, until)
        except BaseException:
            self._forget(generation)
            raise
        with self._changed:
            if generation is self._generation:
                self._busy.add(link)
                return link, generation
        # Closed or aborted meanwhile: this may not be the server to talk to any more.
        link.close()
        raise self._ended()

    def _ended(self) -> Failure:
        return unavailable("the connections were closed", self._endpoint.node, silent=False)

    def give(self, link: Link, generation: object) -> None:
        """Put a link back that has no reply pending."""
        with self._changed:
            if generation is self._generation:
                self._busy.discard(link)
                self._idle.append(link)
                self._changed.notify()
                return
        link.close()

    def drop(self, link: Link, generation: object) -> None:
        """Close a link."""
        try:
            link.close()
        finally:
            self._forget(generation, link)

    def _forget(self, generation: object, link: Link | None = None) -> None:
        with self._changed:
            if generation is self._generation:
                if link is not None:
                    self._busy.discard(link)
                self._open -= 1
                self._changed.notify()

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
        with self._changed:
            idle, self._idle = self._idle, []
            busy, self._busy = self._busy, set()
            self._open = 0
            self._generation = object()
            self._changed.notify_all()
        for link in idle:
            link.close()
        return busy
