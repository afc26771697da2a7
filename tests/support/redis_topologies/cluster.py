"""Redis Cluster, and slots that move while it is in use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.support.certificates import Certificates
from tests.support.children import StartError, require_binary, scratch_directory
from tests.support.redis_topologies.nodes import (
    PATIENCE,
    Access,
    Group,
    Options,
    RedisNode,
    poll,
    quoted,
)

SLOTS = 16384


@dataclass(frozen=True)
class Member:
    """One line of CLUSTER NODES.

    :param slots: ranges, both ends included; those on the move belong to their source
    """

    identity: str
    port: int
    flags: frozenset[str]
    primary: str
    slots: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, line: str) -> Member:
        """``id ip:port@bus,host flags primary ping pong epoch link slot...``."""
        identity, address, flags, primary, _, _, _, _, *slots = line.split()
        port = int(address.partition("@")[0].rpartition(":")[2])
        # [93->-id] and [93-<-id] are slots on the move.
        ranges = [slot.split("-") for slot in slots if not slot.startswith("[")]
        whole = tuple((int(ends[0]), int(ends[-1])) for ends in ranges)
        return cls(identity, port, frozenset(flags.split(",")), primary, whole)

    def has(self, slot: int) -> bool:
        """Whether the slot is this node's."""
        return any(first <= slot <= last for first, last in self.slots)


class RedisCluster(Group):
    """A running cluster. ``nodes`` begins with those that were primaries at first."""

    @property
    def url(self) -> str:
        """For ``open_store``."""
        return self.access.url("cluster", [node.port for node in self.nodes])

    def members(self, seen_by: RedisNode) -> list[Member]:
        """The cluster as one node sees it."""
        text = seen_by.client.execute_command("CLUSTER", "NODES").decode()
        return [Member.parse(line) for line in text.splitlines()]

    def identity(self, node: RedisNode) -> str:
        """The node's id in the cluster."""
        identity: bytes = node.client.execute_command("CLUSTER", "MYID")
        return identity.decode()

    def primary_of(self, slot: int) -> RedisNode:
        """Whose slot it is, by the first node to answer."""

        def find() -> RedisNode | None:
            seen = self.members(next(node for node in self.nodes if node.alive))
            ports = [member.port for member in seen if member.has(slot)]
            return next((node for node in self.nodes if node.port in ports), None)

        return poll(find, f"someone has slot {slot}")

    @property
    def primaries(self) -> list[RedisNode]:
        """Every node that has slots, by the first node to answer."""

        def find() -> list[RedisNode]:
            seen = self.members(next(node for node in self.nodes if node.alive))
            ports = {member.port for member in seen if member.slots}
            return [node for node in self.nodes if node.port in ports]

        return poll(find, "a node answers")

    def replicas_of(self, primary: RedisNode) -> list[RedisNode]:
        """By what it says itself."""
        identity = self.identity(primary)
        ports = {each.port for each in self.members(primary) if each.primary == identity}
        return [node for node in self.nodes if node.port in ports]

    def wait_ok(self) -> None:
        """Until every node that runs says that all is well, and all agree who has what."""
        poll(self._ok, "the cluster is well")

    def _ok(self) -> bool:
        running = [node for node in self.nodes if node.alive]
        views = {frozenset((m.port, m.slots) for m in self.members(n) if m.slots) for n in running}
        return len(views) == 1 and all(_fact(node, "cluster_state") == "ok" for node in running)

    def wait_for_failover(self, old: RedisNode) -> RedisNode:
        """Until every node that runs knows another primary for the slots of `old`; gives it.

        Call it soon after `old` was killed or frozen: what it had is what the others still think.
        """
        seen = self.members(next(node for node in self.nodes if node.alive and node is not old))
        first = next(member.slots for member in seen if member.port == old.port)[0][0]

        def other() -> RedisNode | None:
            owner = self.primary_of(first)
            return owner if owner is not old and self._ok() else None

        return poll(other, f"a failover from {old}")

    def wait_for_replicas(self, each: int) -> None:
        """Until each primary has so many, by its own word and theirs."""

        def follow() -> bool:
            primaries = self.primaries
            replicas = [node for node in self.nodes if node.alive and node not in primaries]
            return all(node.linked() for node in replicas) and all(
                len(self.replicas_of(node)) == each
                and int(node.info("replication")["connected_slaves"]) == each
                for node in primaries
            )

        poll(follow, f"{each} replicas of each primary")

    def wait_for_named_replicas(self) -> None:
        """Until CLUSTER SLOTS names them; one that was never written to is not named."""

        def named(node: RedisNode) -> bool:
            with self.client(node) as client:
                slots: Any = client.execute_command("CLUSTER SLOTS")
            return all(len(each) > 3 for each in slots)

        poll(lambda: all(named(node) for node in self.nodes), "replicas are named")

    def migrate_slot(
        self,
        slot: int,
        source: RedisNode,
        target: RedisNode,
        while_open: Callable[[], object] | None = None,
    ) -> None:
        """Move a slot and its keys, by the steps that Redis documents for it.

        :param while_open: called when half of the keys (rounded up) have moved: the source answers
            ASK for those, and still serves the others
        """
        poll(self._same_epoch, "every node knows of the last move")
        target.client.execute_command(
            "CLUSTER", "SETSLOT", slot, "IMPORTING", self.identity(source)
        )
        source.client.execute_command(
            "CLUSTER", "SETSLOT", slot, "MIGRATING", self.identity(target)
        )
        if while_open is not None:
            keys: int = source.client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
            self._move_keys(slot, source, target, (keys + 1) // 2)
            while_open()
        while self._move_keys(slot, source, target, 100):
            pass  # new keys may have come meanwhile, though only by ASK: to the target
        # The target first: it must be sure of the slot before the source sends clients to it.
        identity = self.identity(target)
        # Those also that have no slots: from the others they would hear of it after a while.
        ports = {member.port for member in self.members(target) if "master" in member.flags}
        others = [node for node in self.nodes if node.alive and node.port in ports]
        for node in (target, source, *(node for node in others if node not in (source, target))):
            node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", identity)

    def _same_epoch(self) -> bool:
        """Or a node might take a slot under an epoch that is not the newest, and lose it again."""
        running = [node for node in self.nodes if node.alive]
        return len({_fact(node, "cluster_current_epoch") for node in running}) == 1

    def _move_keys(self, slot: int, source: RedisNode, target: RedisNode, limit: int) -> int:
        keys: list[bytes] = []
        if limit:
            keys = source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, limit)
        if keys:
            password = self.access.password
            login = ["AUTH", password] if password else []
            host, port = target.address
            source.client.execute_command("MIGRATE", host, port, "", 0, 5000, *login, "KEYS", *keys)
        return len(keys)

    def reshard(self, slots: Iterable[int], target: RedisNode) -> int:
        """Move these slots to `target`, one after the other; gives how many were elsewhere."""
        moved = 0
        for slot in slots:
            source = self.primary_of(slot)
            if source is not target:
                self.migrate_slot(slot, source, target)
                moved += 1
        return moved


@contextmanager
def run_cluster(
    primaries: int = 3,
    replicas_each: int = 0,
    *,
    password: str | None = None,
    tls: bool = False,
    options: Options | None = None,
) -> Iterator[RedisCluster]:
    """Primaries with the slots spread over them, and replicas, ready when the block begins.

    A node counts as dead after two seconds of silence.

    :param tls: between all of them and for clients, without client certificates
    :param options: more lines for redis.conf of each node
    """
    with scratch_directory() as directory, ExitStack() as stack:
        certificates = Certificates.make(directory) if tls else None
        cluster = RedisCluster(Access(password, certificates))
        lines = _node_lines(password, tls) | dict(options or {})
        for number in range(primaries * (1 + replicas_each)):
            node = RedisNode(directory / f"node{number}", cluster.access, lines)
            stack.callback(node.stop)
            cluster.nodes.append(node)
        _create(cluster, replicas_each)
        cluster.wait_ok()
        cluster.wait_for_replicas(replicas_each)
        poll(partial(_all_known, cluster), "every node knows every node")
        yield cluster


def _node_lines(password: str | None, tls: bool) -> dict[str, str]:
    lines = {
        "save": '""',
        "appendonly": "no",
        "cluster-enabled": "yes",
        "cluster-config-file": "nodes.conf",
        "cluster-node-timeout": "2000",
        "repl-diskless-sync-delay": "0",
    }
    if password:
        lines |= {"requirepass": quoted(password), "masterauth": quoted(password)}
    return lines | ({"tls-cluster": "yes"} if tls else {})


def _create(cluster: RedisCluster, replicas_each: int) -> None:
    access = cluster.access
    tls = ["--tls", "--cacert", str(access.certificates.ca)] if access.certificates else []
    addresses = [f"127.0.0.1:{node.port}" for node in cluster.nodes]
    done = subprocess.run(
        [
            *(require_binary("redis-cli", "redis-tools"), *tls, "--cluster", "create", *addresses),
            *("--cluster-replicas", str(replicas_each), "--cluster-yes"),
        ],
        # In the environment: on the command line everybody on the machine could read it.
        env={**os.environ, **({"REDISCLI_AUTH": access.password} if access.password else {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise StartError(f"redis-cli --cluster create failed:\n{done.stdout}\n{done.stderr}")


def _fact(node: RedisNode, name: str) -> str:
    """Of CLUSTER INFO."""
    answer: Any = node.client.execute_command("CLUSTER", "INFO")
    (fact,) = (line for line in answer.decode().splitlines() if line.startswith(f"{name}:"))
    return str(fact).partition(":")[2].strip()


def _all_known(cluster: RedisCluster) -> bool:
    """So that whichever node is asked gives the replicas too."""
    expected = {node.port for node in cluster.nodes}
    return all(
        {member.port for member in members} == expected
        and not any(member.flags & {"handshake", "noaddr", "fail?", "fail"} for member in members)
        and len({member.primary for member in members if "slave" in member.flags})
        in (0, len(cluster.primaries))
        for members in map(cluster.members, cluster.nodes)
    )
