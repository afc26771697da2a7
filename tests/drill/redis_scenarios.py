"""The servers of each scenario with Redis, and what befalls them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import redis

from sessionstore.testing import FaultProxy
from tests.drill.scenario import EVERYTHING, LOGINS, NOTHING, PREFIX, Scenario, Story
from tests.support.children import scratch_directory
from tests.support.redis_topologies import (
    RedisCluster,
    RedisNode,
    SentinelGroup,
    run_cluster,
    run_sentinel,
)
from tests.support.redis_topologies.nodes import Access
from tests.support.servers import RedisServer, run_redis_tls

BEHIND: Final = 0.05
"""Seconds from a primary to its replica, where writes are to be lost: as to another region."""
LATER: Final = 2.0
"""Seconds until whoever is in charge notices, and starts a dead server again or thaws it."""


# -- Sentinel --


def kill_primary(group: SentinelGroup, story: Story) -> None:
    """While its replica is a little behind, or there would be hardly anything to lose.

    And it is started again: it comes up as the primary it was, until Sentinel corrects it.
    """
    old, (replica,) = group.primary, group.replicas
    with FaultProxy(old.address) as distance:
        distance.reply_latency = BEHIND
        replica.client.replicaof("127.0.0.1", distance.port)
        replica.wait_until(replica.linked)
        time.sleep(LATER)
        story.strikes(f"SIGKILL to the primary, its replica {BEHIND * 1000:.0f} ms behind")
        group.kill(old)  # what is on its way is lost with it
    new = group.wait_for_promotion(old)
    story.is_over(f"{new} is promoted")
    time.sleep(LATER)
    group.restart(old)
    story.note("the old primary is started again, and takes itself for the primary")
    group.wait_for_replicas(1)
    story.note("it has become a replica")


def freeze_primary(group: SentinelGroup, story: Story) -> None:
    """The zombie: what clients sent meanwhile is in its buffers when it wakes."""
    old = group.primary
    story.strikes("SIGSTOP to the primary")
    group.freeze(old)
    new = group.wait_for_promotion(old)
    story.is_over(f"{new} is promoted")
    time.sleep(LATER)
    group.thaw(old)
    story.note("SIGCONT: the old primary is back, and takes itself for the primary")
    group.wait_for_replicas(1)
    story.note("it has become a replica")


def kill_replica(group: SentinelGroup, story: Story) -> None:
    """No fault to the user: durable writes have nobody to wait for, and go on."""
    (replica,) = group.replicas
    group.kill(replica)
    story.note("SIGKILL to the only replica")
    time.sleep(3 * LATER)
    group.restart(replica)
    group.wait_for_replicas(1)
    story.note("it is started again, and follows")


# -- Cluster --


def kill_node(cluster: RedisCluster, story: Story) -> None:
    """A third of the slots."""
    old = cluster.primary_of(0)
    story.strikes("SIGKILL to one of three primaries")
    cluster.kill(old)
    new = cluster.wait_for_failover(old)
    story.is_over(f"{new} has its slots, and the cluster is well")
    time.sleep(LATER)
    cluster.restart(old)
    cluster.wait_for_replicas(1)
    story.note("the old primary is started again, as a replica")


def migrate(cluster: RedisCluster, story: Story) -> None:
    """No fault: all of it must go unnoticed. Some slots stay half moved for a while."""
    source, target = cluster.primary_of(0), cluster.primary_of(16383)
    story.note("slots begin to move")
    half_open = 0
    for slot in slots_in_use(source)[:10]:
        cluster.migrate_slot(slot, source, target, partial(time.sleep, 0.3))
        half_open += 1
    story.note(f"{half_open} slots moved, each half open for 0.3 s (ASK)")
    moved = cluster.reshard(range(1500), target)
    story.note(f"{moved} slots moved (MOVED)")
    moved = cluster.reshard(range(1500), source)
    cluster.wait_ok()
    story.note(f"{moved} slots moved back")


def slots_in_use(node: RedisNode) -> list[int]:
    """Slots of this node that have sessions; there is nothing else in it."""
    slots: set[int] = set()
    for key in node.client.scan_iter(count=1000):
        slots.add(int(node.client.execute_command("CLUSTER", "KEYSLOT", key)))
    return sorted(slots)


# -- one server --


@dataclass(frozen=True)
class RotatedServer:
    """One server over TLS, a user of it, and the file with the user's password."""

    server: RedisServer
    file: Path
    user: str = PREFIX

    @property
    def url(self) -> str:
        """For ``open_store``."""
        assert self.server.certificates is not None
        port = self.server.url.rpartition(":")[2].partition("/")[0]
        ca, file = quote(str(self.server.certificates.ca)), quote(str(self.file))
        login = f"{self.user}@localhost:{port}"
        return f"rediss://{login}/0?ca={ca}&auth=file&password_file={file}"


@contextmanager
def with_a_password() -> Iterator[RotatedServer]:
    """Asked for by an ACL, known from a file."""
    with run_redis_tls() as server, scratch_directory() as directory, server.client() as client:
        file = directory / "password"
        file.write_text("password-0")
        rules = ("on", ">password-0", f"~{PREFIX}:*", "+@all")
        client.execute_command("ACL", "SETUSER", PREFIX, *rules)
        yield RotatedServer(server, file)


def rotate(rotated: RotatedServer, story: Story) -> None:
    """Three times ROTATE, the file, SET; and no connection is spared the last step."""
    with rotated.server.client() as client:
        before = logins(client)
        for number in range(1, 4):
            old, new = f"password-{number - 1}", f"password-{number}"
            client.execute_command("ACL", "SETUSER", rotated.user, f">{new}")
            time.sleep(0.5)
            fresh = rotated.file.with_name("fresh")
            fresh.write_text(new)
            fresh.replace(rotated.file)
            # The file is looked at once a second.
            time.sleep(1.5)
            client.execute_command("ACL", "SETUSER", rotated.user, f"<{old}")
            story.note(f"rotated, {logins(client) - before} log-ins since the beginning")
            time.sleep(0.5)
        refused = [entry for entry in client.acl_log() if entry["username"] == rotated.user]
        story.note(f"{len(refused)} log-ins were refused")


def logins(client: redis.Redis) -> int:
    """How many times AUTH has been executed."""
    stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_auth", {"calls": 0})["calls"])


@dataclass
class OneServer:
    """A server on a port of its own, which can be killed and started again."""

    node: RedisNode

    @property
    def url(self) -> str:
        """For ``open_store``."""
        return f"redis://127.0.0.1:{self.node.port}/0"


@contextmanager
def one_server(*, aof: bool) -> Iterator[OneServer]:
    """With an append-only file that is synced at every write, or with nothing on disk."""
    lines = {"save": '""', "appendonly": "yes" if aof else "no", "appendfsync": "always"}
    with scratch_directory() as directory:
        node = RedisNode(directory / "node", Access(), lines)
        try:
            yield OneServer(node)
        finally:
            node.stop()


def kill_and_restart(one: OneServer, story: Story) -> None:
    """As a supervisor does."""
    story.strikes("SIGKILL to the server")
    one.node.kill()
    time.sleep(0.5)
    one.node.restart()
    story.is_over("it is started again and has loaded its file")


_KILL: Final = f"Sentinel: primary killed, replica {BEHIND * 1000:.0f} ms behind"
_FREEZE: Final = "Sentinel: primary frozen, later thawed"
_REPLICA: Final = "Sentinel: only replica killed"
_CLUSTER: Final = "Cluster: primary killed"
_RESTART: Final = "One server with an AOF: killed"

_ONE: Final = {"durable": "1"}
_ALL: Final = {"durable": "all"}

REDIS: Final = (
    Scenario("sentinel-kill", _KILL, run_sentinel, kill_primary, NOTHING),
    Scenario("sentinel-kill-durable-1", _KILL, run_sentinel, kill_primary, LOGINS, _ONE),
    Scenario("sentinel-kill-durable-all", _KILL, run_sentinel, kill_primary, EVERYTHING, _ALL),
    Scenario("sentinel-freeze", _FREEZE, run_sentinel, freeze_primary, NOTHING),
    Scenario("sentinel-freeze-durable-all", _FREEZE, run_sentinel, freeze_primary, options=_ALL),
    Scenario("replica-kill-durable-all", _REPLICA, run_sentinel, kill_replica, options=_ALL),
    Scenario("cluster-kill", _CLUSTER, partial(run_cluster, 3, 1), kill_node, NOTHING),
    Scenario(
        "cluster-kill-durable-all",
        _CLUSTER,
        partial(run_cluster, 3, 1),
        kill_node,
        options=_ALL,
    ),
    Scenario("cluster-reshard", "Cluster: slots moved", partial(run_cluster, 3), migrate),
    Scenario("auth-rotation", "Password rotated three times", with_a_password, rotate),
    Scenario(
        "aof-restart", "Server with AOF killed", partial(one_server, aof=True), kill_and_restart
    ),
)

CONTROL: Final = Scenario(
    "control", "Server without AOF killed", partial(one_server, aof=False), kill_and_restart
)
"""Must miss its goals: a drill that finds no loss here would find none anywhere. Not part of the
table; ``--only control`` runs it, and so does a test."""
