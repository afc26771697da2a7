"""SECURITY.md section 2, rows 21 to 24 and 27: two requests at once, in all three adapters.

One request is open while others run: its action makes them. Over the two kinds of store whose
compare-and-set differs most: a script that compares revisions, and a command that compares numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

import pytest
import redis

from tests.adapters.conftest import Counting, MakeSite
from tests.support.calling import Answer, run_in_thread
from tests.support.memcached_servers import MemcachedServer
from tests.support.records import rewrite
from tests.support.servers import RedisServer
from tests.support.sites import AsyncSite, Browser, Site, begun, look

Keys = Callable[[], Collection[bytes]]


@pytest.fixture(params=["redis", "memcached"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store_url(kind: str, prefix: str, request: pytest.FixtureRequest) -> str:
    server: RedisServer | MemcachedServer = request.getfixturevalue(f"{kind}_server")
    return f"{server.url}?prefix={prefix}&timeout=5"


@pytest.fixture
def keys(kind: str, prefix: str, request: pytest.FixtureRequest) -> Keys:
    """Every key that the store holds for this test."""
    server: RedisServer | MemcachedServer = request.getfixturevalue(f"{kind}_server")
    pattern = f"{prefix}:".encode()

    def read() -> Collection[bytes]:
        if isinstance(server, MemcachedServer):
            return [key for key in server.stored() if key.startswith(pattern)]
        with server.client() as client:
            return list(client.scan_iter(match=pattern + b"*"))

    return read


def was_refused(answer: Answer) -> bool:
    """The app's client is told, and no cookie is set or deleted."""
    return answer.status == 409 and answer.set_cookies == []


def during(browser: Browser, meanwhile: Callable[[], Any], then: Callable[[Any], Any]) -> Answer:
    """A request that reads, waits for others, and then goes on."""

    def action(session: Any) -> Any:
        session.get("anything")
        meanwhile()
        return then(session)

    return browser.get(action)


@pytest.mark.parametrize(
    "then",
    [
        lambda session: session.update({"late": 1}),
        lambda session: session.rotate(),
        lambda session: session["nested"].append(1),
    ],
    ids=["saves", "rotates", "changes inside"],
)
def test_row21_a_late_request_does_not_resurrect_after_logout(
    site: Site, keys: Keys, then: Callable[[Any], Any]
) -> None:
    slow = begun(site, nested=[])
    assert len(keys()) == 1
    other = slow.copy()
    answer = during(slow, lambda: other.do(lambda session: session.logout()), then)
    assert was_refused(answer)
    assert other.cookie is None
    assert list(keys()) == []


def test_row21_a_late_touch_does_not_resurrect_after_logout(
    make_site: MakeSite, keys: Keys
) -> None:
    slow = begun(make_site(touch_interval=0.000001, touch_on_read=True), a=1)
    other = slow.copy()
    answer = during(slow, lambda: other.do(lambda session: session.logout()), look)
    assert answer.status == 200
    assert answer.set_cookies == []
    assert list(keys()) == []


def test_row22_writers_of_different_attributes_both_survive(site: Site) -> None:
    one = begun(site, cart={"apples": 1})
    two = one.copy()

    def fill(session: Any) -> None:
        session["from_two"] = 2

    during(one, lambda: two.do(fill), lambda session: session.update({"from_one": 1}))
    assert one.do(look) == {"cart": {"apples": 1}, "from_one": 1, "from_two": 2}


def test_row22_of_the_same_attribute_the_later_writer_wins(site: Site) -> None:
    one = begun(site, a=0)
    two = one.copy()
    during(
        one,
        lambda: two.do(lambda session: session.update({"a": "two"})),
        lambda session: session.update({"a": "one"}),
    )
    assert one.do(look) == {"a": "one"}


def test_row23_two_rotations_one_winner(site: Site) -> None:
    one = begun(site, a=1)
    two = one.copy()
    before = one.cookie
    answer = during(
        one,
        lambda: two.do(lambda session: session.rotate()),
        lambda session: session.rotate(),
    )
    assert answer.status == 200
    assert answer.set_cookies == []
    assert two.cookie != before
    assert two.do(look) == {"a": 1}


def test_row23_two_logins_at_once_each_answers_cookie_works(site: Site) -> None:
    one = begun(site, cart=1)
    two = one.copy()
    during(
        one,
        lambda: two.do(lambda session: session.login("ann")),
        lambda session: session.login("ann"),
    )
    assert one.do(lambda session: session.subject) == "ann"
    assert two.do(lambda session: session.subject) == "ann"
    assert one.cookie != two.cookie


@pytest.mark.parametrize("attempt", ["reads", "logs out", "clears", "writes"])
def test_row23_a_token_from_before_a_login_reads_nothing_and_ends_nothing(
    site: Site, attempt: str
) -> None:
    browser = begun(site, a=1)
    thief = browser.copy()
    browser.do(lambda session: session.login("ann"))
    attempts: dict[str, Callable[[Any], Any]] = {
        "reads": look,
        "logs out": lambda session: session.logout(),
        "clears": lambda session: session.clear(),
        "writes": lambda session: session.update({"a": "thief"}),
    }
    answer = thief.get(attempts[attempt])
    assert answer.set_cookies == []
    assert not answer.result
    assert browser.do(lambda session: (session.subject, session["a"])) == ("ann", 1)


def test_a_parallel_request_survives_a_step_up(site: Site) -> None:
    """Within its grace the previous secret still reads and writes, and sets no cookie."""
    browser = begun(site, a=1)
    parallel = browser.copy()
    browser.do(lambda session: session.rotate())
    answer = parallel.get(lambda session: session.update({"b": 2}))
    assert (answer.status, answer.set_cookies) == (200, [])
    assert browser.do(look) == {"a": 1, "b": 2}


def test_row23_a_late_login_gets_a_session_of_its_own(site: Site) -> None:
    """Rule 7: what a request set that logs in after somebody else did stays with it alone."""
    one = begun(site, cart=1)
    two = one.copy()

    def late(session: Any) -> None:
        session.login("bob")
        session["mine"] = True

    during(one, lambda: two.do(lambda session: session.login("ann")), late)
    assert one.do(lambda session: (session.subject, look(session))) == ("bob", {"mine": True})
    assert two.do(lambda session: (session.subject, look(session))) == ("ann", {"cart": 1})


@pytest.mark.parametrize("kind", ["redis"], indirect=True)  # it rewrites a record there
def test_row24_a_touch_does_not_extend_past_the_absolute_deadline(
    make_site: MakeSite, redis_client: redis.Redis, keys: Keys
) -> None:
    browser = begun(make_site(touch_interval=0.000001, touch_on_read=True), a=1)
    [key] = keys()
    soon = rewrite(redis_client, key, lambda found: found._replace(absolute=time.time() + 100))
    assert browser.do(look) == {"a": 1}
    touched = rewrite(redis_client, key, lambda found: found)
    assert touched.touched > soon.touched
    assert round(touched.absolute, 3) == round(soon.absolute, 3)
    assert 0 < redis_client.pttl(key) <= 100_000
    rewrite(redis_client, key, lambda found: found._replace(absolute=time.time() - 1))
    stored = redis_client.get(key)
    answer = browser.get(look)
    assert (answer.status, answer.result, answer.set_cookies) == (200, {}, [])
    assert redis_client.get(key) == stored


def test_row24_a_touch_that_meets_a_write_changes_nothing_of_it(make_site: MakeSite) -> None:
    slow = begun(make_site(touch_interval=0.000001, touch_on_read=True), a=1)
    other = slow.copy()
    answer = during(slow, lambda: other.do(lambda session: session.update({"a": 2})), look)
    assert answer.status == 200
    assert slow.do(look) == {"a": 2}


ANONYMOUS_READS = 2_000
"""Of the 10^5 in the row, which were run once: the three take five minutes."""


@pytest.mark.parametrize("kind", ["redis"], indirect=True)  # it counts Redis's commands
def test_row27_anonymous_reads_and_logouts_write_nothing(
    site: Site, keys: Keys, counting: Counting
) -> None:
    async def read_many() -> None:
        assert isinstance(site, AsyncSite)
        for _ in range(ANONYMOUS_READS):
            assert (await site.arequest(look)).set_cookies == []

    with counting() as commands, site.serving():
        if isinstance(site, AsyncSite):
            run_in_thread(read_many())
        else:
            for _ in range(ANONYMOUS_READS):
                assert site.request(look).set_cookies == []
        for action in (lambda s: s.logout(), lambda s: s.clear(), lambda s: s.pop("a", None)):
            assert site.request(action).set_cookies == []
    assert commands == {}
    assert list(keys()) == []
