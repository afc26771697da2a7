"""The groups of servers that other tests rely on really fail over and move slots."""

from __future__ import annotations

import pytest
import redis

from tests.support.redis_topologies import run_cluster, run_sentinel

pytestmark = pytest.mark.once

PASSWORD = 'p@ss "w\\rd#'


def test_a_killed_primary_is_replaced() -> None:
    with run_sentinel() as group:
        old = group.primary
        group.client(old).set("name", "value")
        assert group.client(old).wait(1, 1000) == 1
        group.kill(old)
        new = group.wait_for_failover(old)
        assert new is group.primary is not old
        assert group.client(new).get("name") == b"value"
        # What SIGTERM alone could not end is ended with the block.
        group.freeze(new)
        with pytest.raises(redis.TimeoutError):
            group.client(new).get("name")


def test_everything_may_have_passwords_and_speak_tls() -> None:
    with run_sentinel(password=PASSWORD, sentinel_password="other", tls=True) as group:
        assert "rediss+sentinel://default:p%40ss%20%22w%5Crd%23@localhost:" in group.url
        assert "sentinel_password=other&ca=" in group.url
        old = group.primary
        assert group.failover() is not old


def test_a_slot_is_moved_with_a_look_at_the_middle() -> None:
    with run_cluster(3) as cluster:
        slot = 15495  # of "a"
        source, target = cluster.primary_of(slot), cluster.primary_of(0)
        keys = [f"{{a}}{number}" for number in range(4)]
        for key in keys:
            cluster.client(source).set(key, key)
        seen: list[int | str] = []

        def look() -> None:
            for key in keys:
                try:
                    assert cluster.client(source).get(key) == key.encode()
                    seen.append("there")
                except redis.exceptions.AskError as error:
                    seen.append(error.port)

        cluster.migrate_slot(slot, source, target, look)
        assert seen.count("there") == seen.count(target.port) == 2
        cluster.wait_ok()
        assert cluster.primary_of(slot) is target
        assert cluster.client(target).get(keys[0]) == keys[0].encode()


def test_a_killed_node_of_a_cluster_is_replaced() -> None:
    with run_cluster(3, replicas_each=1, password=PASSWORD, tls=True) as cluster:
        old = cluster.primary_of(0)
        (replica,) = cluster.replicas_of(old)
        cluster.kill(old)
        assert cluster.wait_for_failover(old) is replica
        cluster.restart(old)
        cluster.wait_ok()
        cluster.wait_for_replicas(1)
        assert cluster.replicas_of(replica) == [old]
