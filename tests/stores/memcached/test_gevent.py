"""Under gevent: many greenlets, killed at any moment (SECURITY row 26)."""

from __future__ import annotations

from tests.stores.memcached.conftest import PROTOCOLS
from tests.stores.redis.test_gevent import keeps_its_replies_apart
from tests.support.memcached_servers import MemcachedServer


@PROTOCOLS
def test_no_greenlet_gets_anothers_reply(
    memcached_server: MemcachedServer, prefix: str, protocol: str
) -> None:
    keeps_its_replies_apart(f"{memcached_server.url}?protocol={protocol}", prefix)
