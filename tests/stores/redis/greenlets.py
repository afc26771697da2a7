"""Run by both test_gevent.py in a process of its own: greenlets that share a store, and are killed.

Prints what was read, and what of it was somebody else's.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402 - everything else must find the patched modules
import json
import sys
import threading
import time
from typing import Any

import gevent

from sessionstore import open_store
from sessionstore.core.flow import Flow, run
from sessionstore.stores.memcached import MemcachedStore
from sessionstore.stores.redis import RedisStore

GREENLETS, ROUNDS, CONNECTIONS = 40, 60, 6
PATIENCES = (0.001, 0.003, 0.01, None)
"""Seconds until a greenlet's request is killed, in turn."""


def main(url: str, prefix: str) -> None:
    store = open_store(url, prefix=prefix, timeout=10, max_connections=CONNECTIONS)
    assert isinstance(store, RedisStore | MemcachedStore)

    def do(flow: Flow[Any]) -> Any:
        deadline = time.monotonic() + 10
        return run(flow, lambda command: store.execute(command, deadline))

    keys = [store.key(f"{number:016x}") for number in range(GREENLETS)]
    # The first use by all of them at once, some of which are killed.
    first = [gevent.spawn(do, store.load(key)) for key in keys]
    gevent.killall(first[::3])
    gevent.joinall(first)
    for key in keys:
        do(store.create(key, b"\x01" + bytes(12) + key, 60))

    read, killed, foreign = 0, 0, []

    def work(key: bytes) -> None:
        nonlocal read, killed
        for number in range(ROUNDS):
            try:
                with gevent.Timeout(PATIENCES[number % len(PATIENCES)]):
                    entry = do(store.load(key))
            except gevent.Timeout:
                killed += 1
                continue
            read += 1
            if entry is None or entry.value[13:] != key:
                foreign.append(repr(entry))

    greenlets = [gevent.spawn(work, key) for key in keys]
    gevent.joinall(greenlets, timeout=60)
    failed = [repr(each.exception) for each in greenlets if each.exception is not None]
    stuck = sum(not each.dead for each in greenlets)
    connections = store.connections
    # The pool is whole: as many as it may have can be in use at once.
    together = [gevent.spawn(do, store.load(key)) for key in keys]
    gevent.joinall(together, timeout=10)
    served = sum(each.successful() for each in together)
    store.close()
    gevent.sleep(0.2)
    sys.stdout.write(
        json.dumps(
            {
                "read": read,
                "killed": killed,
                "foreign": foreign,
                "failed": failed,
                "stuck": stuck,
                "connections": connections,
                "served": served,
                "threads": threading.active_count(),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
