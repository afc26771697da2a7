"""Redis Cluster: which server has a key's slot is what the cluster says.

``CLUSTER SLOTS`` is asked of whichever node answers, in a thread: at first, after trouble or a
``MOVED``, and twice a minute besides. ``MOVED`` and ``ASK`` are followed at once, without waiting
for that. Where the cluster says nothing of a node's host, it is the host that was asked; where TLS
is used, the certificates must be good for what it says
(``cluster-preferred-endpoint-type hostname``).

Nodes know of a change one after the other, and the one that is asked may be the last. So a node
that answers is let go of only when nobody has named it for a while; one that does not, at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

from redis.crc import key_slot

from sessionstore.core.errors import StoreError, StoreRefused
from sessionstore.stores.attempts import Failure, refused, unavailable
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.redis.endpoint import Endpoint, pack
from sessionstore.stores.redis.failures import Redirect, ReplyError, from_reply
from sessionstore.stores.redis.greetings import CLUSTER_REPLICA
from sessionstore.stores.redis.link import Link
from sessionstore.stores.redis.topology import Node, Topology
from sessionstore.stores.servers.watching import LEARNING_SECONDS, Knowledge, Watcher

SLOTS: Final = 16384
INTERVAL: Final = 30.0
UNKNOWN_INTERVAL: Final = 0.5
TROUBLED_INTERVAL: Final = 0.1
"""Seconds between looks; while nobody has answered yet; and at least between two that somebody
asked for."""

HASTY_SECONDS: Final = 0.08
"""For an answer, while there are others to ask: more than it takes within a data centre."""

Address = tuple[str, int]
Range = tuple[int, int, Address, tuple[Address, ...]]
"""First and last slot, who has them, and who has copies."""


class Cluster(Topology):
    """Primaries that share the slots, and their replicas.

    :param base: how to connect to a node: everything but its address
    :param seeds: nodes to ask at first, such as ElastiCache's configuration endpoint
    :param patience: seconds of silence after which a node is known to be dead
    """

    def __init__(
        self, base: Endpoint, seeds: Sequence[Endpoint], patience: float, *, read_replicas: bool
    ) -> None:
        super().__init__(f"cluster {seeds[0].node}")
        self._base = base
        self._seeds = tuple(seeds)
        self._patience = patience
        self._read_replicas = read_replicas
        self._nodes: dict[tuple[Address, str], Node] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._replicas: dict[Node, tuple[Node, ...]] = {}
        self._unnamed: dict[Node, float] = {}
        self._reset()
        forget_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._knowledge = Knowledge(self.name, self._patience, known=bool(self._nodes))
        self._watch: _Watch | None = None

    # -- what it knows --

    def primary_for(self, key: bytes) -> Node | None:
        if self._watch is None:
            self._start()
        if key:
            node = self._slots[key_slot(key)]
        else:
            nodes = self.primaries()
            well = (node for node in nodes if node.breaker.error is None)
            node = next(well, nodes[0] if nodes else None)
        if node is None and self._replicas:
            self._wake()
            raise unavailable("no node of the cluster has the slot", self.name, silent=False)
        return node

    def primaries(self) -> Sequence[Node]:
        if self._watch is None:
            self._start()
        return tuple(self._replicas)

    def replicas_for(self, key: bytes) -> Sequence[Node]:
        primary = self._slots[key_slot(key)]
        return () if primary is None else self._replicas.get(primary, ())

    def nodes(self) -> Sequence[Node]:
        return tuple(self._nodes.values())

    def wait(self, until: float) -> None:
        self.primaries()
        self._wake()
        self._knowledge.wait(until)

    @property
    def is_known(self) -> bool:
        """Whether anything is known yet."""
        return bool(self._knowledge)

    # -- how it learns --

    def _start(self) -> None:
        with self._lock:
            if self._watch is None:
                watch = _Watch(self)
                watch.start()
                self._watch = watch

    def _wake(self) -> None:
        watch = self._watch
        if watch is not None:
            watch.wake()

    def suspect(self, node: Node) -> None:
        self._wake()

    def redirected(self, redirect: Redirect, asked: Node) -> Node | None:
        if redirect.slot >= SLOTS:
            return None
        with self._lock:
            address = (redirect.host or asked.endpoint.host, redirect.port)
            node = self._node(address, "primary")
            self._unnamed.pop(node, None)
            if not redirect.asking:
                self._slots[redirect.slot] = node
                self._replicas.setdefault(node, ())
        if not redirect.asking:
            self._wake()
        return node

    def _node(self, address: Address, role: str) -> Node:
        node = self._nodes.get((address, role))
        if node is None:
            host, port = address
            greeting = CLUSTER_REPLICA if role == "replica" else None
            endpoint = replace(self._base, host=host, port=port, greeting=greeting)
            node = self._nodes[address, role] = Node(endpoint, self._patience, role)
        return node

    def told(self, ranges: Sequence[Range]) -> None:
        """By a node that was asked for the whole of it."""
        slots: list[Node | None] = [None] * SLOTS
        replicas: dict[Node, tuple[Node, ...]] = {}
        with self._lock:
            before = set(self._nodes.values())
            for first, last, address, copies in ranges:
                node = self._node(address, "primary")
                slots[first : last + 1] = [node] * (last + 1 - first)
                if self._read_replicas:
                    replicas[node] = tuple(self._node(copy, "replica") for copy in copies)
                else:
                    replicas[node] = ()
            kept = {*replicas, *(copy for group in replicas.values() for copy in group)}
            kept |= self._leaving(before - kept, time.monotonic())
            self._nodes = {name: node for name, node in self._nodes.items() if node in kept}
            self._slots, self._replicas = slots, replicas
        self._knowledge.is_known()
        if kept != before:
            self._changed()

    def _leaving(self, unnamed: set[Node], now: float) -> set[Node]:
        """Those which are perhaps still at work for somebody."""
        since = {node: self._unnamed.get(node, now) for node in unnamed}
        self._unnamed = {
            node: when
            for node, when in since.items()
            if node.breaker.error is None and now - when < self._patience
        }
        return set(self._unnamed)

    def failed(self, failure: Failure) -> None:
        """Nobody could tell."""
        self._knowledge.failed(failure)

    def candidates(self) -> Iterator[Endpoint]:
        """Whom to ask, the most promising first."""
        with self._lock:
            nodes = list(self._nodes.values())
        random.shuffle(nodes)  # so that a thousand processes do not all ask the same
        nodes.sort(key=lambda node: node.breaker.error is not None)
        # Replicas of a cluster know it as well as primaries do.
        yield from dict.fromkeys(replace(node.endpoint, greeting=None) for node in nodes)
        yield from self._seeds

    def close(self) -> None:
        with self._lock:
            watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()

    def after_fork(self) -> None:
        if self._watch is not None:
            self._watch.after_fork()
        self._reset()


class _Watch(Watcher):
    """Asks for the slots."""

    def __init__(self, topology: Cluster) -> None:
        super().__init__(topology, "cluster")

    def work(self) -> None:
        while True:
            self._ask(self.owner())
            self.rest(TROUBLED_INTERVAL)
            self.wait(INTERVAL if self.owner().is_known else UNKNOWN_INTERVAL)

    def _ask(self, topology: Cluster) -> None:
        problem = None
        # First without waiting long for any: the next one may answer at once.
        for seconds in (HASTY_SECONDS, LEARNING_SECONDS):
            for endpoint in topology.candidates():
                try:
                    topology.told(_slots_of(endpoint, time.monotonic() + seconds))
                    return
                except Failure as failure:
                    problem = failure
                except StoreError as error:
                    problem = Failure(error, retry=False)
        if problem is not None:
            topology.failed(problem)


def _slots_of(endpoint: Endpoint, until: float) -> list[Range]:
    with closing(Link(endpoint, until)) as link:
        reply = link.exchange(pack(("CLUSTER", "SLOTS")), until)
    if isinstance(reply, ReplyError):
        if "cluster support disabled" in str(reply):
            raise refused("the server is not part of a Redis Cluster", endpoint.node)
        raise from_reply(reply, endpoint.node)
    ranges = ranges_from(reply, endpoint.host, endpoint.node)
    if not ranges:
        raise unavailable("the cluster has no slots yet", endpoint.node, silent=False)
    return ranges


def ranges_from(reply: Any, asked: str, node: str) -> list[Range]:
    """What ``CLUSTER SLOTS`` says.

    :param asked: the host that was asked: where the cluster names none, it is that one
    :raises Failure: it is something else

    >>> ranges_from([[0, 16383, [b"", 6379, b"id"], [b"h2", 6380, b"id"]]], "h1", "h1:6379")
    [(0, 16383, ('h1', 6379), (('h2', 6380),))]
    """

    def address(entry: Any) -> Address:
        host = (entry[0] or b"").decode()
        if host == "?" and len(entry) > 3:
            # It should be a host name, and is not known. Since Redis 7, what is stands behind it.
            known = dict(zip(entry[3][::2], entry[3][1::2], strict=True))
            host = known.get(b"ip", b"").decode()
        return (asked if host in {"", "?"} else host), int(entry[1])

    try:
        return [
            (int(first), int(last), address(primary), tuple(address(copy) for copy in copies))
            for first, last, primary, *copies in reply
            if 0 <= first <= last < SLOTS
        ]
    except (TypeError, ValueError, LookupError, OverflowError, AttributeError):
        raise Failure(StoreRefused("unexpected reply to CLUSTER SLOTS", node=node)) from None
