"""A primary with replicas, watched by Sentinels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.support.certificates import Certificates
from tests.support.children import scratch_directory
from tests.support.redis_topologies.nodes import Access, Group, Options, RedisNode, poll, quoted

NAME = "mymaster"


class SentinelGroup(Group):
    """A running group. ``nodes`` has the primary it began with first; ``sentinels`` are apart."""

    def __init__(self, access: Access, sentinel_access: Access) -> None:
        super().__init__(access)
        self.sentinels: list[RedisNode] = []
        self._sentinel_access = sentinel_access

    @property
    def url(self) -> str:
        """For ``open_store``."""
        return self.access.url(
            "sentinel",
            [sentinel.port for sentinel in self.sentinels],
            f"/{NAME}/0",
            sentinel_password=self._sentinel_access.password,
        )

    @property
    def primary(self) -> RedisNode:
        """The node that the first Sentinel to answer calls the primary."""
        return poll(self._named, "a Sentinel answers")[0]

    @property
    def replicas(self) -> list[RedisNode]:
        """Every node but the primary, dead ones too."""
        primary = self.primary
        return [node for node in self.nodes if node is not primary]

    def _named(self) -> list[RedisNode]:
        """The primary by each Sentinel that is not dead or frozen."""
        named = []
        for sentinel in self.sentinels:
            if sentinel.alive:
                address: Any = sentinel.client.sentinel_get_master_addr_by_name(NAME)
                named += [node for node in self.nodes if node.port == int(address[1])]
        return named

    def wait_for_failover(self, old: RedisNode) -> RedisNode:
        """Until the Sentinels agree on another primary, and it says so too; gives it."""

        def agreed() -> RedisNode | None:
            first, *others = self._named()
            same = first is not old and all(other is first for other in others)
            return first if same and is_primary(first) else None

        return poll(agreed, f"a failover from {old}")

    def wait_for_promotion(self, old: RedisNode) -> RedisNode:
        """Until one Sentinel names another primary, and it says so too; gives it."""

        def named() -> RedisNode | None:
            others = (node for node in self._named() if node is not old)
            return next(filter(is_primary, others), None)

        return poll(named, f"a promotion in place of {old}")

    def wait_for_replicas(self, count: int) -> None:
        """Until so many replicas follow the primary, by its own word and theirs."""

        def follow() -> bool:
            primary = self.primary
            others = [node for node in self.nodes if node.alive and node is not primary]
            online = primary.info("replication")["connected_slaves"]
            return int(online) >= count and sum(node.linked() for node in others) >= count

        poll(follow, f"{count} replicas")

    def failover(self) -> RedisNode:
        """SENTINEL FAILOVER, which no fault is needed for; gives the new primary."""
        old = self.primary

        def accepted() -> bool:
            # Refused (NOGOODSLAVE, INPROG) until Sentinel has seen the replica well.
            sentinel = next(each for each in self.sentinels if each.alive)
            return bool(sentinel.client.sentinel_failover(NAME))

        poll(accepted, "a Sentinel begins a failover")
        return self.wait_for_failover(old)

    def wait_until_ready(self) -> None:
        """Until the Sentinels know each other and every replica, and think well of all."""
        replicas = len(self.nodes) - 1
        self.wait_for_replicas(replicas)
        for sentinel in self.sentinels:
            sentinel.wait_until(lambda sentinel=sentinel: self._complete(sentinel, replicas))  # type: ignore[misc]

    def _complete(self, sentinel: RedisNode, replicas: int) -> bool:
        state: Any = sentinel.client.sentinel_master(NAME)
        listed: Any = sentinel.client.sentinel_slaves(NAME)
        return (
            int(state["num-other-sentinels"]) == len(self.sentinels) - 1
            and state["flags"] in ("master", {"master"})
            and len(listed) == replicas
            and all(each["master-link-status"] == "ok" for each in listed)
        )


@contextmanager
def run_sentinel(
    *,
    replicas: int = 1,
    sentinels: int = 3,
    password: str | None = None,
    sentinel_password: str | None = None,
    tls: bool = False,
    aof: bool = False,
    options: Options | None = None,
) -> Iterator[SentinelGroup]:
    """A primary, replicas and Sentinels, ready when the block begins.

    The primary counts as dead after a second of silence.

    :param password: of the primary and the replicas
    :param tls: between all of them and for clients, without client certificates
    :param aof: an append-only file, synced at every write
    :param options: more lines for redis.conf of the primary and the replicas
    """
    with scratch_directory() as directory, ExitStack() as stack:
        certificates = Certificates.make(directory) if tls else None
        access = Access(password, certificates)
        group = SentinelGroup(access, Access(sentinel_password, certificates))
        lines = _node_lines(password, aof) | dict(options or {})
        for number in range(replicas + 1):
            follow = {"replicaof": f"127.0.0.1 {group.nodes[0].port}"} if number else {}
            node = RedisNode(directory / f"node{number}", access, lines | follow)
            stack.callback(node.stop)
            group.nodes.append(node)
        # Sentinel asks a primary for its replicas only every ten seconds: they must be there.
        poll(lambda: all(node.linked() for node in group.nodes[1:]), "replicas follow")
        for number in range(sentinels):
            sentinel = _sentinel(directory / f"sentinel{number}", group, sentinels // 2 + 1)
            stack.callback(sentinel.stop)
            group.sentinels.append(sentinel)
        group.wait_until_ready()
        yield group


def _node_lines(password: str | None, aof: bool) -> dict[str, str]:
    lines = {
        "save": '""',
        "appendonly": "yes" if aof else "no",
        "appendfsync": "always",
        "repl-diskless-sync-delay": "0",
    }
    if password:
        lines |= {"requirepass": quoted(password), "masterauth": quoted(password)}
    return lines


def _sentinel(directory: Path, group: SentinelGroup, quorum: int) -> RedisNode:
    access = group._sentinel_access
    lines = {
        "sentinel monitor": f"{NAME} 127.0.0.1 {group.nodes[0].port} {quorum}",
        "sentinel down-after-milliseconds": f"{NAME} 1000",
        "sentinel failover-timeout": f"{NAME} 5000",
        "sentinel parallel-syncs": f"{NAME} 1",
    }
    if group.access.password:
        lines["sentinel auth-pass"] = f"{NAME} {quoted(group.access.password)}"
    if access.password:
        lines["requirepass"] = quoted(access.password)
        lines["sentinel sentinel-pass"] = quoted(access.password)
    return RedisNode(directory, access, lines, sentinel=True)


def is_primary(node: RedisNode) -> bool:
    """By its own word; that it does not answer means no."""
    try:
        return bool(node.info("replication")["role"] == "master")
    except redis.RedisError:
        return False
