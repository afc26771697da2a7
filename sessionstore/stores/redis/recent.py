"""The keys that this process has written a moment ago: a replica may not have those yet."""

from __future__ import annotations

import threading
from typing import Final

from sessionstore.stores.lifetime import forget_after_fork

WINDOW: Final = 10.0
"""Seconds. As long as a request takes, and a replica is behind, unless something is broken."""

_MOST: Final = 10_000


class RecentWrites:
    """Bounded in time and in number; the oldest are forgotten first."""

    def __init__(self, window: float = WINDOW, most: int = _MOST) -> None:
        self._window = window
        self._most = most
        self._written: dict[bytes, float] = {}
        self.after_fork()
        forget_after_fork(self)

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock just then."""
        self._lock = threading.Lock()

    def add(self, key: bytes, now: float) -> None:
        """This key is being written.

        :param now: on the clock of :func:`time.monotonic`
        """
        with self._lock:
            written = self._written
            written.pop(key, None)  # so that the order is that of the times
            written[key] = now
            while True:
                oldest = next(iter(written))
                if len(written) <= self._most and now - written[oldest] < self._window:
                    return
                del written[oldest]

    def has(self, key: bytes, now: float) -> bool:
        """Whether it was written within the window."""
        written = self._written.get(key)
        return written is not None and now - written < self._window
