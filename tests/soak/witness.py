"""Somebody from outside who says when it was the machine: a busy processor, or a busy disk.

A 503 because the disk has not taken a write for half a second is no fault that was injected, and
none of the sites'. So a thread asks the server too, past the network and the sites, and notes when
it had to wait. Another one only sleeps, and notes when it was woken too late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import psycopg
import redis

from tests.support.figures import Window

PATIENCE: Final = 0.15
"""Seconds within which a server answers that has nothing else to do; an attempt has 0.2."""
NAP: Final = 0.02
LATE: Final = 0.05


class Witness:
    """Watches while the ``with`` block runs.

    :param ask: asks the server something, and waits for the answer
    :ivar stalls: when the server did not answer in time
    :ivar lags: when nobody was woken in time
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        self.stalls: list[Window] = []
        self.lags: list[Window] = []
        self._ask = ask
        self._stopping = threading.Event()
        works = (self._asks, self._naps)
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]

    def __enter__(self) -> Witness:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _asks(self) -> None:
        while not self._stopping.wait(PATIENCE / 3):
            began = time.monotonic()
            with suppress(redis.RedisError, psycopg.Error, OSError):
                self._ask()
            if (ended := time.monotonic()) > began + PATIENCE:
                self.stalls.append(Window(began, ended))

    def _naps(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            time.sleep(NAP)
            if (ended := time.monotonic()) > began + NAP + LATE:
                self.lags.append(Window(began + NAP, ended))
