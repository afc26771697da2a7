"""``read_from=replica``: what may be behind, and what must never come of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from sessionstore import SessionConfig, SessionManager, open_store
from sessionstore.core.verbs import Conflict, Entry
from sessionstore.stores.base import Store
from sessionstore.testing import FaultProxy
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.support.children import free_port
from tests.support.redis_topologies import RedisCluster, SentinelGroup
from tests.support.servers import RedisServer, run_redis

SECRET = "the signing key of the tests, long enough"
TIMEOUT = 5


class Lagging:
    """A primary, and a "replica" that gets what the primary has when a test says so."""

    def __init__(self, primary: Path, replica: Path, prefix: str) -> None:
        self.prefix = prefix
        self.primary = redis.Redis(unix_socket_path=str(primary))
        self.replica = redis.Redis(unix_socket_path=str(replica))

    def catch_up(self) -> None:
        for key in self.replica.keys(f"{self.prefix}:*"):
            self.replica.delete(key)
        for key in self.primary.keys(f"{self.prefix}:*"):
            self.replica.restore(key, self.primary.pttl(key), self.primary.dump(key))

    def reads(self) -> dict[str, int]:
        """How many GETs each has had."""
        return {
            name: client.info("commandstats").get("cmdstat_get", {}).get("calls", 0)
            for name, client in (("primary", self.primary), ("replica", self.replica))
        }

    def close(self) -> None:
        self.primary.close()
        self.replica.close()


@pytest.fixture(scope="module")
def second_server() -> Iterator[RedisServer]:
    """Independent of the first, so that it lags exactly as far as a test wants."""
    with run_redis() as server:
        yield server


@pytest.fixture
def url(redis_server: RedisServer, second_server: RedisServer) -> Iterator[str]:
    with FaultProxy(redis_server.socket) as one, FaultProxy(second_server.socket) as two:
        yield f"redis://{one.address}?read_from=replica&replica={two.address}&timeout={TIMEOUT}"


@pytest.fixture
def servers(
    redis_server: RedisServer, second_server: RedisServer, prefix: str
) -> Iterator[Lagging]:
    servers = Lagging(redis_server.socket, second_server.socket, prefix)
    yield servers
    servers.close()


@contextmanager
def app_server(url: str, prefix: str) -> Iterator[SessionManager]:
    """One of several: what it has written itself it reads from the primary."""
    store = open_store(url, prefix=prefix)
    yield SessionManager(store, SessionConfig(secret_key=SECRET))
    store.close()


@pytest.fixture
def here(url: str, prefix: str) -> Iterator[SessionManager]:
    with app_server(url, prefix) as manager:
        yield manager


@pytest.fixture
def there(url: str, prefix: str) -> Iterator[SessionManager]:
    with app_server(url, prefix) as manager:
        yield manager


def begin(manager: SessionManager, servers: Lagging, login: str | None = None) -> str:
    session = manager.open(None)
    session["a"] = 1
    if login:
        session.login(login)
    cookie = manager.commit(session)
    assert cookie is not None
    assert cookie.value is not None
    servers.catch_up()
    return cookie.value


def test_an_ordinary_read_is_the_replicas(
    here: SessionManager, there: SessionManager, servers: Lagging
) -> None:
    cookie = begin(here, servers)
    before = servers.reads()
    assert there.open(cookie)["a"] == 1
    assert servers.reads() == before | {"replica": before["replica"] + 1}


def test_who_has_written_reads_from_the_primary(
    here: SessionManager, there: SessionManager, servers: Lagging
) -> None:
    cookie = begin(here, servers)
    session = here.open(cookie)
    session["a"] = 2
    here.commit(session)
    assert here.open(cookie)["a"] == 2
    assert there.open(cookie)["a"] == 1, "which is what read_from=replica means"


def test_a_session_that_the_replica_does_not_have_yet(
    here: SessionManager, there: SessionManager, servers: Lagging
) -> None:
    """Logged in here, redirected there: the user must not see the login page again."""
    session = here.open(None)
    session.login("ada")
    cookie = here.commit(session)
    assert cookie is not None
    assert there.open(cookie.value).subject == "ada"


def test_a_token_that_the_replica_does_not_know_yet(
    here: SessionManager, there: SessionManager, servers: Lagging
) -> None:
    """The login gave the session a new secret; the replica still has the old one's hash."""
    old = begin(here, servers)
    session = here.open(old)
    session.login("ada")
    new = here.commit(session)
    assert new is not None
    seen = there.open(new.value)
    assert seen.subject == "ada"
    assert not seen.is_new


def test_a_write_on_top_of_a_stale_copy_loses_nothing(
    here: SessionManager, there: SessionManager, servers: Lagging
) -> None:
    cookie = begin(here, servers)
    session = here.open(cookie)
    session["here"] = 1
    here.commit(session)
    stale = there.open(cookie)
    assert "here" not in stale
    stale["there"] = 1
    there.commit(stale)
    assert dict(here.open(cookie)) == {"a": 1, "here": 1, "there": 1}


def test_a_write_after_a_logout_that_the_replica_has_not_seen(
    here: SessionManager, there: SessionManager, servers: Lagging
) -> None:
    """The documented limit is that it still reads; what it must not do is come back to life."""
    cookie = begin(here, servers, login="ada")
    session = here.open(cookie)
    session.logout()
    here.commit(session)
    stale = there.open(cookie)
    assert stale.subject == "ada"
    stale["late"] = 1
    with pytest.raises(Exception, match="gone"):
        there.commit(stale)
    assert here.open(cookie).is_new
    servers.catch_up()
    assert there.open(cookie).is_new


def test_a_login_on_top_of_a_stale_copy(
    here: SessionManager, there: SessionManager, servers: Lagging
) -> None:
    cookie = begin(here, servers)
    session = here.open(cookie)
    session["here"] = 1
    here.commit(session)
    stale = there.open(cookie)
    stale.login("ada")
    new = there.commit(stale)
    assert new is not None
    seen = here.open(new.value)
    assert seen.subject == "ada"
    assert seen["here"] == 1


def test_no_token_is_sent_again_on_the_word_of_a_copy(
    here: SessionManager, there: SessionManager, servers: Lagging
) -> None:
    """It could overwrite the one that a login has just set."""
    old = begin(here, servers)
    session = here.open(old)
    session.login("ada")
    here.commit(session)
    stale = there.open(old)
    assert stale["a"] == 1
    assert there.resend(stale.state) is None
    # A write finds out that the token is not current any more.
    stale["b"] = 1
    with pytest.raises(Exception, match="gone"):
        there.commit(stale)
    assert there.resend(stale.state) is None


def test_what_a_write_has_proved_may_be_sent_again(
    here: SessionManager, there: SessionManager, servers: Lagging
) -> None:
    cookie = begin(here, servers)
    session = there.open(cookie)
    assert there.resend(session.state) is None
    session["b"] = 1
    there.commit(session)
    resent = there.resend(session.state)
    assert resent is not None
    assert resent.value == cookie


@BOTH
def test_a_compare_and_set_on_a_stale_version_is_an_ordinary_conflict(
    url: str, prefix: str, servers: Lagging, how: str
) -> None:
    one, two = open_store(url, prefix=prefix), open_store(url, prefix=prefix)
    key = one.key("h")
    carry(one, how, one.create(key, value(1), 60))
    servers.catch_up()
    carry(one, how, one.replace(key, value(2), 60, value(1)[1:13]))
    stale = carry(two, how, two.load(key))
    assert stale == Entry(value(1), value(1)[1:13], may_lag=True)
    assert stale is not None
    conflict = carry(two, how, two.replace(key, value(3), 60, stale.version))
    assert conflict == Conflict(Entry(value(2), value(2)[1:13]))
    for store in (one, two):
        store.close()


@BOTH
def test_without_its_replica_the_primary_serves(
    redis_server: RedisServer, prefix: str, how: str
) -> None:
    with FaultProxy(redis_server.socket) as proxy:
        store = open_store(
            f"redis://{proxy.address}?read_from=replica&replica=127.0.0.1:{free_port()}",
            prefix=prefix,
            timeout=2,
        )
        with Stopwatch(2):
            assert carry(store, how, store.load(store.key("h"))) is None
        names = {health.role: health for health in store.health()}
        assert names["replica"].error is not None
        assert names["primary"].error is None
        store.close()


@BOTH
@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_replicas_that_sentinels_and_clusters_name(
    guarded_sentinel_group: SentinelGroup,
    guarded_redis_cluster: RedisCluster,
    prefix: str,
    kind: str,
    how: str,
) -> None:
    group = {"sentinel": guarded_sentinel_group, "cluster": guarded_redis_cluster}[kind]
    writer = open_store(f"{group.url}&durable=all", prefix=prefix, timeout=10)
    keys = [writer.key(f"{number:016x}") for number in range(50)]
    for key in keys:
        carry(writer, how, writer.create(key, value(1), 60))
    if kind == "cluster":
        guarded_redis_cluster.wait_for_named_replicas()
    reader = open_store(f"{group.url}&read_from=replica", prefix=prefix, timeout=10)
    for key in keys:
        assert carry(reader, how, reader.load(key)) == Entry(value(1), value(1)[1:13], may_lag=True)
    assert any(health.role == "replica" for health in reader.health())
    for store in (writer, reader):
        store.close()


def no_copies(store: Store) -> bool:
    return all(health.role != "replica" for health in store.health())


def test_by_default_nothing_is_read_from_a_replica(
    sentinel_group: SentinelGroup, prefix: str
) -> None:
    store = open_store(sentinel_group.url, prefix=prefix, timeout=10)
    carry(store, "sync", store.load(store.key("h")))
    assert no_copies(store)
    store.close()
