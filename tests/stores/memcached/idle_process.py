"""Run by test_failover.py: loads a session, and after a long pause once more for every line."""

from __future__ import annotations

import sys
import time

from sessionstore.core.errors import StoreError
from sessionstore.core.flow import run
from sessionstore.stores.memcached import membership
from sessionstore.stores.url import open_store


def main(url: str, prefix: str, key: str) -> None:
    membership.PACE = membership.Pace(pause=0.05, look=0.3, lease=0.5, settle=0.6)  # type: ignore[misc]
    store = open_store(url, prefix=prefix, failover="next", failover_after=0.2, timeout=1)

    def load() -> str:
        deadline = time.monotonic() + store.timeout
        try:
            entry = run(store.load(key.encode()), lambda each: store.execute(each, deadline))
        except StoreError as error:
            return type(error).__name__
        return repr(entry and entry.value)

    sys.stdout.write(f"{load()}\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        sys.stdout.write(f"{load()}\n")
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
