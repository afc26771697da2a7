"""Clients whose connections break under them: the same load, through a proxy that misbehaves."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from sessionstore.stores.base import Store
from sessionstore.testing import FaultProxy
from sessionstore.testing.forwarding import Fault
from tests.support.every_store import AnyStore
from tests.support.network import mend

FAULTS: Final[list[Fault]] = ["lost", "lost", "half", "reset", "swallowed"]
"""What leaves a client in doubt, and what does not."""
TIMEOUT = 0.5
"""Seconds. What is swallowed costs two fifths of it."""


class Network(NamedTuple):
    """What lies between the clients and each server."""

    proxies: list[FaultProxy]

    @property
    def struck(self) -> int:
        """How often a fault has met something on its way."""
        return sum(proxy.struck for proxy in self.proxies)


@contextmanager
def faulty(any_store: AnyStore, seed: int) -> Iterator[tuple[Store, Network]]:
    """A store whose network fails now and then, while the ``with`` block runs.

    Of several servers, each has a network of its own.
    """
    assert any_store.through is not None
    stopping = threading.Event()
    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultProxy(each)) for each in any_store.upstreams]

        def misbehave(number: int) -> None:
            draw, proxy = random.Random(f"{seed}/{number}"), proxies[number]
            pause = draw.uniform(0.002, 0.01)  # some stores are done after 50 ms
            while not stopping.wait(pause):
                if proxy.fault:
                    mend(proxy)
                else:
                    proxy.fault = draw.choice(FAULTS)
                pause = draw.uniform(0.005, 0.05)
            mend(proxy)

        url = any_store.through([proxy.address for proxy in proxies])
        store = stack.enter_context(any_store.opened(url, timeout=TIMEOUT))
        threads = [threading.Thread(target=misbehave, args=(n,)) for n in range(len(proxies))]
        for thread in threads:
            thread.start()
        try:
            yield store, Network(proxies)
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
