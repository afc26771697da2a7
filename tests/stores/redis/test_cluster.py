"""A real cluster: where keys are, slots that move, and what it refuses."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.crc import key_slot

from sessionstore.core.errors import StoreRefused
from sessionstore.core.flow import Flow
from sessionstore.core.verbs import Conflict, Deleted, Entry, Exists, Missing
from sessionstore.stores.redis import RedisStore
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from sessionstore.testing.lifecycle import forked, in_threads
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.stores.users import Users, connections_to, open_files, watchers
from tests.support.redis_topologies import RedisCluster, RedisNode, run_cluster
from tests.support.scripted_topology import eventually

TIMEOUT = 0.8


@pytest.fixture
def store(redis_cluster: RedisCluster, prefix: str) -> Iterator[RedisStore]:
    store = open_store(redis_cluster.url, prefix=prefix, timeout=10)
    assert isinstance(store, RedisStore)
    yield store
    store.close()
    eventually(lambda: watchers() == 0)


@pytest.fixture
def users(store: RedisStore, how: str) -> Iterator[Users]:
    users = Users(store, how)
    yield users
    users.close()


def fill(do: Callable[[Flow[Any]], Any], store: RedisStore, count: int) -> list[bytes]:
    keys = [store.key(f"{number:016x}") for number in range(count)]
    for key in keys:
        do(store.create(key, value(1, key), 60))
    return keys


@BOTH
def test_keys_are_spread_over_all_primaries(
    redis_cluster: RedisCluster, store: RedisStore, how: str, users: Users
) -> None:
    keys = fill(lambda flow: users(flow).result(20), store, 60)
    assert [users(store.load(key)).result(20).value[13:] for key in keys] == keys
    assert all(node.client.dbsize() for node in redis_cluster.nodes)
    assert set(store.keys()) == set(keys)
    assert {each.role for each in store.health()} == {"primary"}
    assert len(store.health()) == 3


@BOTH
def test_a_prefix_with_a_hash_tag_keeps_all_on_one_node(
    redis_cluster: RedisCluster, prefix: str, how: str
) -> None:
    store = open_store(redis_cluster.url, prefix=f"{prefix}{{shop}}", timeout=10)
    assert isinstance(store, RedisStore)
    keys = fill(lambda flow: carry(store, how, flow), store, 5)
    home = redis_cluster.primary_of(key_slot(b"shop"))
    assert all(home.client.exists(key) for key in keys)
    assert set(store.keys()) == set(keys)
    store.close()


@BOTH
def test_each_node_learns_the_scripts(
    redis_cluster: RedisCluster, store: RedisStore, how: str, users: Users
) -> None:
    keys = fill(lambda flow: users(flow).result(20), store, 30)
    for node in redis_cluster.nodes:
        node.client.script_flush()
    for key in keys:
        assert users(store.replace(key, value(2), 60, value(1)[1:13])).result(20) == value(2)[1:13]
        assert users(store.delete(key, value(2)[1:13])).result(20) == Deleted()


@BOTH
def test_a_slot_that_has_moved(
    redis_cluster: RedisCluster, store: RedisStore, how: str, users: Users
) -> None:
    key = store.key("h")
    users(store.create(key, value(1), 60)).result(20)
    slot, (source, target) = key_slot(key), two_nodes(redis_cluster, key)
    redis_cluster.migrate_slot(slot, source, target)  # and nobody needs it back
    assert users(store.load(key)).result(20) is not None
    moved = errors_of(source)
    replaced = store.replace(key, value(2), 60, value(1)[1:13])
    assert users(replaced).result(20) == value(2)[1:13]
    for _ in range(5):
        assert users(store.load(key)).result(20) == Entry(value(2), value(2)[1:13])
    assert errors_of(source) == moved, "it was learned"
    redis_cluster.wait_ok()


def two_nodes(cluster: RedisCluster, key: bytes) -> tuple[RedisNode, RedisNode]:
    """Who has a key, and another."""
    source = cluster.primary_of(key_slot(key))
    return source, next(node for node in cluster.nodes if node is not source)


def errors_of(node: RedisNode) -> int:
    """How many MOVED it has answered."""
    return int(node.info("errorstats").get("errorstat_MOVED", {"count": 0})["count"])


@BOTH
def test_a_slot_on_the_move(redis_cluster: RedisCluster, prefix: str, how: str) -> None:
    """Half of its keys are there and half are here, and new ones go there."""
    tagged = open_store(redis_cluster.url, prefix=f"{{{prefix}}}", timeout=10)
    assert isinstance(tagged, RedisStore)
    users = Users(tagged, how)
    do: Callable[[Flow[Any]], Any] = lambda flow: users(flow).result(20)  # noqa: E731
    keys = fill(do, tagged, 8)
    source, target = two_nodes(redis_cluster, keys[0])
    fresh = tagged.key("fresh")
    one, two = value(1)[1:13], value(2)[1:13]

    def while_open() -> None:
        assert [do(tagged.load(key)).value[13:] for key in keys] == keys
        assert [do(tagged.create(key, value(9), 60)) for key in keys] == [Exists()] * 8
        assert [do(tagged.replace(key, value(2, key), 60, one)) for key in keys] == [two] * 8
        for key in keys:
            assert do(tagged.replace(key, value(9), 60, one)) == Conflict(Entry(value(2, key), two))
        assert [do(tagged.delete(key, two)) for key in keys[::2]] == [Deleted()] * 4
        assert [do(tagged.load(key)) for key in keys[::2]] == [None] * 4
        assert [do(tagged.delete(key, two)) for key in keys[::2]] == [Missing()] * 4
        do(tagged.create(fresh, value(1), 60))
        assert do(tagged.load(fresh)) == Entry(value(1), one)

    redis_cluster.migrate_slot(key_slot(prefix.encode()), source, target, while_open)
    assert [do(tagged.load(key)).value[13:] for key in keys[1::2]] == keys[1::2]
    assert do(tagged.load(fresh)) == Entry(value(1), one)
    assert {*tagged.keys()} == {fresh, *keys[1::2]}
    users.close()
    tagged.close()
    redis_cluster.wait_ok()


# -- life and death --


def test_many_come_at_once(store: RedisStore) -> None:
    def use(number: int) -> None:
        if number < 32:
            key = store.key(f"{number:016x}")
            carry(store, "sync", store.create(key, value(1, key), 60))
            assert carry(store, "sync", store.load(key)) == Entry(value(1, key), value(1)[1:13])
        else:
            users = Users(store, "async")
            keys = [store.key(f"{number:08x}{task:08x}") for task in range(20)]
            for done in [users(store.create(key, value(1, key), 60)) for key in keys]:
                done.result(20)
            assert [users(store.load(key)).result(20).value[13:] for key in keys] == keys
            users.close()

    in_threads(36, use)
    carry(store, "sync", store.load(store.key("h")))
    eventually(lambda: watchers() == 1)


@BOTH
def test_closing_ends_the_thread_and_it_begins_again(
    redis_cluster: RedisCluster, store: RedisStore, how: str
) -> None:
    for node in redis_cluster.nodes:
        node.client.close()
    for _ in range(3):
        carry(store, how, store.load(store.key("h")))
        assert watchers() == 1
        store.close()
        eventually(lambda: watchers() == 0)
        eventually(lambda: sum(connections_to(node.port) for node in redis_cluster.nodes) == 0)


def test_nothing_is_left_of_a_store_that_nobody_closed(
    redis_cluster: RedisCluster, prefix: str
) -> None:
    gc.collect()
    before = open_files()
    for _ in range(3):
        store = open_store(redis_cluster.url, prefix=prefix, timeout=10)
        for how in ("sync", "async"):
            carry(store, how, store.load(store.key("h")))
        del store
        gc.collect()
    eventually(lambda: watchers() == 0)
    eventually(lambda: open_files() <= before)


@BOTH
def test_a_forked_child_learns_by_itself(store: RedisStore, how: str) -> None:
    keys = fill(lambda flow: carry(store, how, flow), store, 6)

    def use() -> None:
        for key in keys * 5:
            entry = carry(store, how, store.load(key))
            assert entry is not None
            assert entry.value[13:] == key

    def in_the_child() -> None:
        assert watchers() == 0
        use()
        assert watchers() == 1
        store.close()
        eventually(lambda: watchers() == 0)

    with forked(in_the_child) as child:
        use()
    assert child.status == 0
    assert watchers() == 1


# -- what does not fit --


@BOTH
def test_a_single_server_that_is_said_to_be_a_cluster(sentinel_group: Any, how: str) -> None:
    host, port = sentinel_group.primary.address
    refused(f"redis+cluster://{host}:{port}", how, "not part of a Redis Cluster")


@BOTH
def test_a_cluster_that_is_said_to_be_a_single_server(
    redis_cluster: RedisCluster, how: str
) -> None:
    key = b"session:s:h"
    other = next(
        node for node in redis_cluster.nodes if node is not redis_cluster.primary_of(key_slot(key))
    )
    refused(f"redis://127.0.0.1:{other.port}", how, "part of a Redis Cluster")


@BOTH
def test_a_wrong_password(guarded_redis_cluster: RedisCluster, how: str) -> None:
    url = guarded_redis_cluster.url
    refused(url.replace("default:", "default:not"), how, "password")
    refused(url.partition("?")[0], how, "TLS")


def refused(url: str, how: str, why: str) -> None:
    store = open_store(url, timeout=TIMEOUT)
    with Stopwatch(TIMEOUT), pytest.raises(StoreRefused, match=why):
        carry(store, how, store.load(store.key("h")))
    store.close()


@BOTH
@pytest.mark.parametrize("kind", ["hostname", "unknown-endpoint"])
def test_nodes_whose_hosts_the_cluster_does_not_say(how: str, kind: str, prefix: str) -> None:
    with run_cluster(3, options={"cluster-preferred-endpoint-type": kind}) as cluster:
        store = open_store(cluster.url, prefix=prefix, timeout=10)
        assert isinstance(store, RedisStore)
        keys = fill(lambda flow: carry(store, how, flow), store, 12)
        slot, (source, target) = key_slot(keys[0]), two_nodes(cluster, keys[0])
        cluster.migrate_slot(slot, source, target)
        assert all(carry(store, how, store.load(key)) for key in keys)
        store.close()
