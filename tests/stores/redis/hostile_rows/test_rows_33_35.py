"""What has gone: replies, connections, log-ins, sessions."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from sessionstore.stores.redis import RedisStore
from sessionstore.stores.url import open_store
from sessionstore.testing import FaultProxy
from tests.adapters.conftest import MakeSite
from tests.stores.carrying import Stopwatch
from tests.stores.redis.hostile_rows.conftest import TIMEOUT, begun, is_503, read, recovered, write
from tests.support.calling import Answer
from tests.support.servers import RedisServer
from tests.support.sites import Site

# -- 33 --


@pytest.mark.parametrize("fault", ["lost", "swallowed"])
def test_row33_a_write_whose_reply_was_lost_knows_itself(
    site: Site, proxy: FaultProxy, fault: str
) -> None:
    browser = begun(site)
    proxy.requests.clear()
    proxy.matching, proxy.times, proxy.fault = b"EVALSHA", 1, fault  # type: ignore[assignment]
    with Stopwatch(TIMEOUT):
        browser.do(write)
    proxy.fault = ""
    assert browser.do(read) == 3
    first, again = [data for data in proxy.requests if b"EVALSHA" in data]
    assert first == again


def test_row33_a_write_whose_replies_are_all_lost_is_of_unknown_outcome(
    site: Site, proxy: FaultProxy
) -> None:
    browser = begun(site)
    cookie = browser.cookie
    proxy.matching, proxy.fault = b"EVALSHA", "lost"
    with Stopwatch(TIMEOUT):
        answer = browser.get(write)
    assert is_503(answer)
    proxy.fault = ""
    assert browser.cookie == cookie
    assert browser.do(read) == 3  # it was done, as it may be


def test_row33_a_create_is_not_repeated_under_its_handle(
    site: Site, client: redis.Redis, proxy: FaultProxy, prefix: str
) -> None:
    proxy.matching, proxy.times, proxy.fault = b"\r\nSET\r\n", 1, "lost"
    browser = site.browser()
    browser.do(write)
    assert proxy.struck == 1
    assert browser.do(read) == 1
    keys = {key for data in proxy.requests if (key := key_of_set(data))}
    # The first one is there too, has no owner, and expires.
    assert keys == set(client.scan_iter(match=f"{prefix}:*"))
    assert len(keys) == 2


def key_of_set(request: bytes) -> bytes | None:
    words = request.split(b"\r\n")
    return words[4] if words[2:3] == [b"SET"] else None


# -- 34 --


@pytest.mark.parametrize("make_site", ["flask", "django"], indirect=True)
def test_row34_an_exhausted_pool_is_a_503_by_the_deadline(
    make_site: MakeSite, proxy: FaultProxy
) -> None:
    site = make_site(f"redis://{proxy.address}?max_connections=1")
    browser = begun(site)
    proxy.fault = "silent"
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(browser.copy().get(read))) for _ in range(8)
    ]
    with Stopwatch(TIMEOUT):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [is_503(answer) for answer in answers] == [True] * 8
    proxy.fault = ""
    assert recovered(browser)
    assert browser.do(read) == 2
    assert isinstance(site.store, RedisStore)
    assert site.store.connections == 1


def test_row34_a_log_in_that_has_ended_is_renewed(
    make_site: MakeSite, server: RedisServer, client: redis.Redis, proxy: FaultProxy, prefix: str
) -> None:
    """As an IAM token's, in a connection of the pool. The user notices nothing."""
    client.execute_command("ACL", "SETUSER", prefix, "on", ">pw", "~*", "+@all")
    asked: list[int] = []

    def provider() -> tuple[str, str]:
        asked.append(1)
        return prefix, "pw"

    store = open_store(f"redis://{proxy.address}", credentials=provider, prefix=prefix, timeout=5)
    try:
        browser = begun(make_site(store))
        before = len(asked)
        proxy.error = b"-NOAUTH Authentication required.\r\n"
        proxy.matching, proxy.times, proxy.fault = b"GET", 1, "error_instead"
        assert browser.do(read) == 2
        assert proxy.struck == 1
        assert len(asked) > before
    finally:
        store.close()
        client.acl_deluser(prefix)


# -- 35 --


def test_row35_an_evicted_session_is_a_new_one(
    site: Site, client: redis.Redis, prefix: str
) -> None:
    browser = begun(site)
    cookie = browser.cookie
    assert client.delete(*client.scan_iter(match=f"{prefix}:*")) == 1
    answer = browser.get(read)
    assert (answer.status, answer.result, answer.error) == (200, None, None)
    browser.do(write)
    assert browser.do(read) == 1
    assert browser.cookie is not None
    assert cookie is not None
    assert browser.cookie[:16] != cookie[:16], "under another handle"


def test_row35_one_that_is_flushed_in_the_middle_of_a_request_is_told_gone(
    site: Site, client: redis.Redis
) -> None:
    browser = begun(site)

    def action(session: Any) -> None:
        write(session)
        client.flushall()  # this module's own server

    answer = browser.get(action)
    assert answer.status in (409, 400)
    assert browser.do(read) is None


def test_row35_a_store_that_is_down_at_logout_is_a_503_and_the_cookie_goes(
    site: Site, proxy: FaultProxy
) -> None:
    browser = begun(site)

    def action(session: Any) -> None:
        session.get("a")
        proxy.fault = "silent"
        session.logout()

    with Stopwatch(2 * TIMEOUT):
        answer = browser.get(action)
    assert answer.status == 503
    assert len(answer.set_cookies) == 1
    assert browser.cookie is None
