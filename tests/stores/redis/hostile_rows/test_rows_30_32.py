"""What the server says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from sessionstore.stores.url import open_store
from sessionstore.testing import FaultProxy
from tests.adapters.conftest import MakeSite
from tests.stores.carrying import Stopwatch
from tests.stores.redis.hostile_rows.conftest import TIMEOUT, begun, is_503, read, token, write
from tests.stores.redis.test_cluster import two_nodes
from tests.stores.redis.test_cluster_views import Member
from tests.support.redis_topologies import RedisCluster
from tests.support.scripted_redis import ScriptedRedis
from tests.support.scripted_topology import ScriptedSentinel, eventually
from tests.support.servers import RedisServer
from tests.support.sites import Browser, Site

# -- 30 --


@pytest.mark.parametrize(
    ("reply", "again"),
    [("WRONGPASS", False), ("NOAUTH", False), ("NOPERM", False)]
    + [(name, True) for name in ("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")],
)
def test_row30_an_error_reply_is_a_503_and_is_not_passed_on(
    make_site: MakeSite, reply: str, again: bool
) -> None:
    with ScriptedRedis(f"-{reply} as the server words it\r\n".encode()) as scripted:
        with Stopwatch(TIMEOUT):
            answer = Browser(make_site(scripted.url), token()).get(read)
        commands = len(scripted.commands)
    assert is_503(answer, reply, "as the server words it")
    # 0.5 s with pauses of up to 8, 16, 32, 64, 100, 100... ms: bounded by far less than this.
    assert (1 < commands < 100) if again else (commands == 1)


# -- 31 --


def test_row31_readonly_is_answered_by_another_connection(site: Site, proxy: FaultProxy) -> None:
    browser = begun(site)
    proxy.error = b"-READONLY You can't write against a read only replica.\r\n"
    proxy.matching, proxy.times, proxy.fault = b"EVALSHA", 1, "error_instead"
    before = proxy.accepted
    browser.do(write)
    assert proxy.struck == 1
    assert proxy.accepted > before
    assert browser.do(read) == 3


def test_row31_readonly_for_good_is_a_503_after_a_bounded_number_of_attempts(
    site: Site, server: RedisServer, client: redis.Redis, proxy: FaultProxy
) -> None:
    browser = begun(site)
    proxy.requests.clear()
    client.replicaof("127.0.0.1", 1)
    try:
        with Stopwatch(2 * TIMEOUT):  # of the load, and of the save
            answer = browser.get(write)
        assert browser.do(read) == 2
    finally:
        client.replicaof("NO", "ONE")
    assert is_503(answer, "READONLY")
    assert 1 < sum(b"EVALSHA" in data for data in proxy.requests) < 100
    browser.do(write)
    assert browser.do(read) == 3


def test_row31_readonly_is_followed_to_the_primary_that_sentinel_names(
    make_site: MakeSite, server: RedisServer, proxy: FaultProxy, prefix: str
) -> None:
    """Two ways to one server: the first is a primary's that was demoted, and says so."""
    with FaultProxy(server.socket) as promoted, ScriptedSentinel(proxy, 1) as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster"
        with closing(open_store(url, prefix=prefix, timeout=20)) as store:
            browser = begun(make_site(store))
            assert promoted.accepted == 0
            proxy.error = b"-READONLY You can't write against a read only replica.\r\n"
            proxy.matching, proxy.fault = b"EVALSHA", "error_instead"
            with ThreadPoolExecutor(1) as executor:
                written = executor.submit(browser.get, write)
                eventually(lambda: proxy.struck > 0)
                sentinel.name(promoted, 2)
                assert written.result(20).status == 200
            assert browser.do(read) == 3
            assert any(b"HELLO" in data for data in promoted.requests), "its role was checked"


def test_row31_moved_and_ask_are_followed(
    make_site: MakeSite, redis_cluster: RedisCluster, prefix: str
) -> None:
    with closing(open_store(redis_cluster.url, prefix=prefix, timeout=20)) as store:
        browser = begun(make_site(store))
        key = store.key((browser.cookie or "")[:16])

        def while_open() -> None:
            assert browser.do(read) == 2
            browser.do(write)

        redis_cluster.migrate_slot(key_slot(key), *two_nodes(redis_cluster, key), while_open)
        assert browser.do(read) == 3
        browser.do(write)
        assert browser.do(read) == 4
        redis_cluster.wait_ok()


@pytest.mark.parametrize("kind", ["MOVED", "ASK"])
def test_row31_redirects_in_circles_are_a_503_after_a_bounded_number(
    make_site: MakeSite, kind: str
) -> None:
    with Member() as one, Member() as two:
        one.sends_to(kind, "", two)
        two.sends_to(kind, "", one)
        site = make_site(f"redis+cluster://127.0.0.1:{one.port}")
        with Stopwatch(TIMEOUT):
            answer = Browser(site, token()).get(read)
        assert is_503(answer, kind)
        assert one.count("GET") + two.count("GET") < 300


# -- 32 --


@contextmanager
def configured(client: redis.Redis, name: str, value: str) -> Iterator[None]:
    before = client.config_get(name)[name]
    client.config_set(name, value)
    try:
        yield
    finally:
        client.config_set(name, before)


@pytest.mark.parametrize("why", ["OOM", "NOREPLICAS", "MISCONF"])
def test_row32_while_writes_are_refused_reads_go_on(
    site: Site, client: redis.Redis, proxy: FaultProxy, why: str
) -> None:
    browser = begun(site)
    trouble: dict[str, AbstractContextManager[None]] = {
        "OOM": configured(client, "maxmemory", "1"),
        "NOREPLICAS": configured(client, "min-replicas-to-write", "1"),
        "MISCONF": nullcontext(),  # by the proxy: it would need a disk that fails
    }
    if why == "MISCONF":
        proxy.error = b"-MISCONF Redis is configured to save RDB snapshots\r\n"
        proxy.matching, proxy.fault = b"EVALSHA", "error_instead"
    with trouble[why]:
        assert is_503(browser.get(write), why)
        assert browser.do(read) == 2
    proxy.fault = ""
    browser.do(write)
    assert browser.do(read) == 3


def test_row32_a_script_that_is_not_known_is_sent_once(site: Site, client: redis.Redis) -> None:
    browser = begun(site)
    client.script_flush()
    client.config_resetstat()
    for _ in range(3):
        browser.do(write)
    stats: Any = client.info("commandstats")
    assert stats["cmdstat_eval"]["calls"] == 1
    assert stats["cmdstat_evalsha"]["calls"] == 3
