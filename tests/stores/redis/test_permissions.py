"""The permissions that docs/reference/stores.md lists are enough, and each of them is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from sessionstore.core.errors import NotReplicated, StoreRefused
from sessionstore.core.verbs import Deleted
from sessionstore.stores.base import Store
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, carry
from tests.stores.conftest import LEAST_PRIVILEGE, PASSWORD
from tests.support.redis_topologies import RedisCluster, RedisNode, SentinelGroup

pytestmark = pytest.mark.once

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "stores.md").read_text()
LOGIN = quote(PASSWORD, safe="")


def documented(what: str) -> list[str]:
    """The rules of one row of the table of what else may be needed."""
    table = PAGE.partition("What else may be needed")[2]
    row = re.search(rf"^\| {re.escape(what)} \| (.*) \|$", table, re.MULTILINE)
    assert row
    rules = re.findall(r"`([^`]*)`", row[1])
    # What stands in brackets is for older servers.
    return " ".join(rules[:-1] if "before Redis 7" in row[1] else rules).replace("\\", "").split()


@contextmanager
def user(nodes: Sequence[RedisNode], name: str, *rules: str) -> Iterator[None]:
    """On all of these servers."""

    def everywhere(*command: str) -> None:
        for node in nodes:
            with node.access.client(node.port) as client:
                client.execute_command("ACL", *command)

    everywhere("SETUSER", name, "on", f">{PASSWORD}", *rules)
    try:
        yield
    finally:
        everywhere("DELUSER", name)


def as_user(url: str, name: str, more: str = "") -> str:
    """This URL with that user instead of the one in it, if any."""
    scheme, _, rest = url.partition("://")
    rest = rest.rpartition("@")[2]
    return f"{scheme}://{name}:{LOGIN}@{rest}{'&' if '?' in rest else '?'}{more}"


def works(store: Store, how: str) -> None:
    """Everything that sessions need, on enough keys to reach every node."""
    for number in range(20):
        key = store.key(f"{number:016x}")
        assert carry(store, how, store.create(key, value(1), 60)) == value(1)[1:13]
        assert carry(store, how, store.load(key)) is not None
        assert carry(store, how, store.replace(key, value(2), 60, value(1)[1:13])) == value(2)[1:13]
        assert isinstance(carry(store, how, store.delete(key, value(2)[1:13])), Deleted)


@BOTH
def test_cluster(redis_cluster: RedisCluster, prefix: str, how: str) -> None:
    needed = documented("Cluster")
    assert needed == ["+cluster|slots", "+asking"]
    rules = [f"~{prefix}:s:*", *LEAST_PRIVILEGE]
    with user(redis_cluster.nodes, prefix, *rules, *needed):
        store = open_store(as_user(redis_cluster.url, prefix), prefix=prefix, timeout=10)
        works(store, how)
        store.close()
    with user(redis_cluster.nodes, prefix, *rules):
        store = open_store(as_user(redis_cluster.url, prefix), prefix=prefix, timeout=10)
        with pytest.raises(StoreRefused, match="NOPERM"):
            carry(store, how, store.load(store.key("h")))
        store.close()


@BOTH
def test_a_slot_that_is_being_moved(prefix: str, redis_cluster: RedisCluster, how: str) -> None:
    """``ASKING`` is a permission as well."""
    rules = [f"~{prefix}:s:*", *LEAST_PRIVILEGE]
    for allowed in (True, False):
        with user(redis_cluster.nodes, prefix, *rules, *documented("Cluster")[: 1 + allowed]):
            store = open_store(as_user(redis_cluster.url, prefix), prefix=prefix, timeout=10)
            key = store.key(f"{allowed:016x}")
            slot = key_slot(key)
            source = redis_cluster.primary_of(slot)
            target = next(node for node in redis_cluster.primaries if node is not source)

            def half_way(store: Store = store, key: bytes = key, allowed: bool = allowed) -> None:
                if allowed:
                    assert carry(store, how, store.create(key, value(1), 60)) == value(1)[1:13]
                    return
                with pytest.raises(StoreRefused, match="NOPERM"):
                    carry(store, how, store.create(key, value(1), 60))

            redis_cluster.migrate_slot(slot, source, target, half_way)
            store.close()


def key_slot(key: bytes) -> int:
    from redis.crc import key_slot as slot_of

    slot: int = slot_of(key)
    return slot


@BOTH
def test_replicas_of_a_cluster(guarded_redis_cluster: RedisCluster, prefix: str, how: str) -> None:
    rules = [f"~{prefix}:s:*", *LEAST_PRIVILEGE, *documented("Cluster")]
    needed = documented("`read_from=replica` on a Cluster")
    url = as_user(guarded_redis_cluster.url, prefix, "read_from=replica")
    with user(guarded_redis_cluster.nodes, prefix, *rules, *needed):
        store = open_store(url, prefix=prefix, timeout=10)
        works(store, how)
        store.close()
    guarded_redis_cluster.wait_for_named_replicas()
    with user(guarded_redis_cluster.nodes, prefix, *rules):
        store = open_store(url, prefix=prefix, timeout=10)
        with pytest.raises(StoreRefused, match="NOPERM"):
            carry(store, how, store.load(store.key("h")))
        store.close()


@BOTH
def test_durable(sentinel_group: SentinelGroup, prefix: str, how: str) -> None:
    assert documented("`durable`") == ["+wait", "+waitaof"]
    # Redis 7.0 does not know the other one.
    rules = [f"~{prefix}:s:*", *LEAST_PRIVILEGE]
    url = as_user(sentinel_group.url, prefix, "durable=all")
    with user(sentinel_group.nodes, prefix, *rules, "+wait"):
        store = open_store(url, prefix=prefix, timeout=10)
        works(store, how)
        store.close()
    with user(sentinel_group.nodes, prefix, *rules):
        store = open_store(url, prefix=prefix, timeout=10)
        with pytest.raises(NotReplicated, match="does not let us WAIT"):
            carry(store, how, store.create(store.key("h"), value(1), 60))
        store.close()


def test_sentinels(sentinel_group: SentinelGroup, prefix: str) -> None:
    line = re.search(r"^And on sentinels that ask for a user: (.*)$", PAGE, re.MULTILINE)
    assert line
    needed = " ".join(re.findall(r"`([^`]*)`", line[1])).replace("\\", "").split()
    assert "&*" in needed
    more = f"sentinel_username={prefix}&sentinel_password={LOGIN}&read_from=replica"
    url = f"{sentinel_group.url}?{more}"
    with user(sentinel_group.sentinels, prefix, "resetchannels", "nocommands", *needed):
        store = open_store(url, prefix=prefix, timeout=10)
        works(store, "sync")
        assert all(health.error is None for health in store.health())
        store.close()
    for rule in needed:
        rest = [each for each in needed if each is not rule]
        with user(sentinel_group.sentinels, prefix, "resetchannels", "nocommands", *rest):
            store = open_store(url, prefix=prefix, timeout=2)
            if rule in {"+subscribe", "&*"}:
                works(store, "sync")  # it is asked all the same, though nothing is announced
            else:
                with pytest.raises(StoreRefused, match="NOPERM"):
                    carry(store, "sync", store.load(store.key("h")))
            store.close()
