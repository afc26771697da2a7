"""Clients whose connections break under them: the same load, through a proxy that misbehaves."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sessionstore.stores.base import Store
from sessionstore.testing import FaultProxy
from sessionstore.testing.forwarding import Fault
from tests.support.every_store import AnyStore
from tests.support.network import mend

FAULTS: Final[list[Fault]] = ["lost", "lost", "half", "reset", "swallowed"]
"""What leaves a client in doubt, and what does not."""
TIMEOUT = 0.5
"""Seconds. What is swallowed costs two fifths of it."""


@contextmanager
def faulty(any_store: AnyStore, seed: int) -> Iterator[Store]:
    """A store whose network fails now and then, while the ``with`` block runs."""
    assert any_store.upstream is not None and any_store.through is not None
    draw, stopping = random.Random(seed), threading.Event()
    with FaultProxy(any_store.upstream) as proxy:

        def misbehave() -> None:
            while not stopping.wait(draw.uniform(0.005, 0.05)):
                if proxy.fault:
                    mend(proxy)
                else:
                    proxy.fault = draw.choice(FAULTS)
            mend(proxy)

        with any_store.opened(any_store.through(proxy.address), timeout=TIMEOUT) as store:
            thread = threading.Thread(target=misbehave)
            thread.start()
            try:
                yield store
            finally:
                stopping.set()
                thread.join()
