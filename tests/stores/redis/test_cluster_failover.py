"""Nodes of a cluster that die, and slots that move, with threads and tasks at work meanwhile."""

from __future__ import annotations

import time

import pytest
from redis.crc import key_slot

from sessionstore.core.errors import OutcomeUnknown, StoreUnavailable
from sessionstore.stores.url import open_store
from tests.stores.carrying import BOTH, SLACK, Stopwatch, carry
from tests.stores.users import Load, connections_to
from tests.support.redis_topologies import RedisCluster, RedisNode, run_cluster
from tests.support.scripted_topology import eventually

pytestmark = pytest.mark.once

TIMEOUT = 0.5


def test_resharding_costs_nobody_an_error(prefix: str) -> None:
    """All sessions are in one slot, which goes round; one node has none before it and after."""
    with run_cluster(3, options={"cluster-allow-replica-migration": "no"}) as cluster:
        hot, empty = key_slot(b"t"), cluster.primary_of(0)
        home = cluster.primary_of(hot)
        assert home is not empty
        take_all_slots(cluster, empty, home)
        store = open_store(cluster.url, prefix=f"{prefix}{{t}}", timeout=10)
        with Load(store, threads=2, tasks=6) as load:
            eventually(lambda: len(load.done) > 20)
            for _ in range(3):
                for target in (empty, *(node for node in cluster.nodes if node is not empty)):
                    done = len(load.done)
                    source = cluster.primary_of(hot)
                    if source is not target:
                        cluster.migrate_slot(hot, source, target, lambda: time.sleep(0.05))
                        cluster.wait_ok()
                    eventually(lambda done=done: len(load.done) > done + 20)  # type: ignore[misc]
        assert load.errors() == []
        client = cluster.primary_of(hot).client
        assert all(client.exists(each.key) for each in load.done)
        store.close()


def take_all_slots(cluster: RedisCluster, old: RedisNode, new: RedisNode) -> None:
    """While there is no key in any of them."""
    identity = cluster.identity(new)
    (ranges,) = [each.slots for each in cluster.members(old) if each.port == old.port]
    mine = [slot for first, last in ranges for slot in range(first, last + 1)]
    for node in (new, old, *(node for node in cluster.nodes if node not in (old, new))):
        with node.client.pipeline(transaction=False) as pipeline:
            for slot in mine:
                pipeline.execute_command("CLUSTER", "SETSLOT", slot, "NODE", identity)
            pipeline.execute()
    cluster.wait_ok()


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_primary_with_a_replica(prefix: str, fault: str) -> None:
    with run_cluster(3, replicas_each=1) as cluster:
        store = open_store(cluster.url, prefix=prefix, timeout=TIMEOUT)
        old = cluster.primary_of(0)
        with Load(store, tasks=8) as load:
            eventually(lambda: len(load.done) > 50)
            assert load.errors() == []
            old.client.close()
            (cluster.kill if fault == "killed" else cluster.freeze)(old)
            new = cluster.wait_for_failover(old)
            promoted = time.monotonic()
            eventually(lambda: time.monotonic() > promoted + 1)
            eventually(lambda: connections_to(old.port) == 0, SLACK)
            if fault == "frozen":
                cluster.thaw(old)
            time.sleep(0.5)
        for each in load.done:
            assert each.ended - each.began < 2 * TIMEOUT + SLACK
            assert isinstance(each.error, StoreUnavailable | OutcomeUnknown | None)
        later = load.since(promoted + 1)
        assert [each.error for each in later if each.error] == []
        # Every slot works again, and nothing that was acknowledged since is lost.
        on_new = [each.key for each in later if cluster.primary_of(key_slot(each.key)) is new]
        assert on_new
        assert all(new.client.exists(key) for key in on_new)
        store.close()


@BOTH
def test_a_primary_without_a_replica(prefix: str, how: str) -> None:
    """Only what it had is out of reach."""
    with run_cluster(3, options={"cluster-require-full-coverage": "no"}) as cluster:
        store = open_store(cluster.url, prefix=prefix, timeout=TIMEOUT)
        keys = [store.key(f"{number:x}") for number in range(30)]
        dead = cluster.primary_of(key_slot(keys[0]))
        lost = [key for key in keys if cluster.primary_of(key_slot(key)) is dead]
        others = [key for key in keys if key not in lost]
        for key in keys:
            assert carry(store, how, store.load(key), 10) is None
        cluster.kill(dead)
        with Stopwatch(4 * TIMEOUT + len(others) * 0.05):
            for key in lost[:4]:
                with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
                    carry(store, how, store.load(key))
            for key in others:
                assert carry(store, how, store.load(key)) is None
        health = {each.node: each.failing > 0 for each in store.health()}
        assert health == {f"127.0.0.1:{node.port}": node is dead for node in cluster.nodes}
        store.close()
