"""A store that nobody closes goes at once, and not when the garbage collector comes by: in a cycle,
its sockets may be collected before the connections that would close them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from sessionstore.stores.url import open_store


@pytest.mark.parametrize(
    "url",
    [
        *("redis://h", "redis+sentinel://h/service/0", "redis+cluster://h"),
        *("memcached://h", "memcached://a,b?failover=next", "memcached://a,b?copies=2"),
        *("memcached+discover://h", "memory://"),
    ],
)
def test_a_store_is_part_of_no_cycle(url: str) -> None:
    gc.disable()
    try:
        store: Any = open_store(url)
        parts = [store, *(getattr(store, part, store) for part in ("_blocking", "_shared"))]
        references = [weakref.ref(part) for part in parts]
        del store, parts
        assert [reference() for reference in references] == [None] * 3
    finally:
        gc.enable()
