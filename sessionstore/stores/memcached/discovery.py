"""ElastiCache's Auto Discovery: which servers there are is what the configuration endpoint says.

https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/AutoDiscovery.AddingToYourClientLibrary.html
It is asked by ``config get cluster``, in a thread: at first, five seconds after that, and then once
a minute, as AWS's own client does; and when a server does not answer a request. Requests wait for
the first answer alone: from then on, an endpoint that fails changes nothing.

A server's place on the ring follows from its host name and port. AWS replaces a server under the
same name, so no key moves then, but its address may be another: then its connections are made anew.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final, NamedTuple

from sessionstore.core.errors import StoreError
from sessionstore.stores.attempts import Failure, refused, unavailable
from sessionstore.stores.health import NodeHealth
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.memcached.blocking import connect
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.failures import from_reply
from sessionstore.stores.memcached.messages import ERRORS, Outcome, Reply, Request, Verb
from sessionstore.stores.memcached.nodelist import Cluster, cluster_from
from sessionstore.stores.memcached.ring import Ring
from sessionstore.stores.memcached.topology import Node, Topology, ring_of
from sessionstore.stores.servers.topology import Server
from sessionstore.stores.servers.watching import LEARNING_SECONDS, Knowledge, Watcher

logger = logging.getLogger("sessionstore")

DEFAULT_POLL: Final = 60.0
SOON: Final = 5.0
"""Seconds between questions; and from the first answer to the next question: a process that starts
while servers join or leave may have asked just too early."""
LEAST_PAUSE: Final = 1.0
"""Seconds at least between two questions, however many requests fail."""
FIRST_RETRY: Final = 0.1
"""Seconds until the question is repeated that had no answer; twice as long each time."""
JITTER: Final = 0.1
"""The part by which pauses are longer or shorter, so that a thousand processes that were started
together do not ask together for ever."""

_QUESTION: Final = Request(Verb.CONFIGURATION, b"cluster")


class _View(NamedTuple):
    """What is believed. Never changed, only replaced as a whole."""

    version: int
    nodes: dict[Node, str]
    """With the last address that was said of each."""
    ring: Ring[Node]


class Discovered(Topology):
    """The servers that a configuration endpoint names.

    :param endpoint: whom to ask
    :param base: how to connect to the servers: everything but their address
    :param patience: seconds of silence after which a server is known to be dead
    :param poll: seconds between questions
    """

    def __init__(self, endpoint: Endpoint, base: Endpoint, patience: float, poll: float) -> None:
        super().__init__(f"cluster {endpoint.node}", base.protocol)
        self.poll = poll
        self.endpoint = Server(
            replace(endpoint, items=False), endpoint.node, patience, "configuration endpoint"
        )
        self._base = base
        self._patience = patience
        self._view: _View | None = None
        self._reset()
        forget_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._knowledge = Knowledge(self.name, self._patience, known=self._view is not None)
        self._watch: _Watch | None = None

    # -- what it knows --

    def node_for(self, key: bytes) -> Node | None:
        if self._watch is None:
            self._start()
        view = self._view
        return None if view is None else view.ring.owner(key)

    def walk(self, key: bytes) -> Sequence[Node]:
        view = self._view
        return () if view is None else view.ring.walk(key)

    def nodes(self) -> Sequence[Node]:
        view = self._view
        return () if view is None else tuple(view.nodes)

    @property
    def changes(self) -> bool:
        return True

    @property
    def is_known(self) -> bool:
        """Whether anything is known yet."""
        return self._view is not None

    def watched(self, now: float) -> tuple[NodeHealth, ...]:
        return (self.endpoint.health(now),)

    def wait(self, until: float) -> None:
        if self._watch is None:
            self._start()
        if self._view is None:
            if self.endpoint.breaker.error is not None:
                self._wake()  # it is pausing between two attempts
            self._knowledge.wait(until)

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

    def told(self, cluster: Cluster) -> None:
        """By the configuration endpoint.

        :raises Failure: that cannot be believed, and nothing has changed
        """
        with self._lock:
            before = self._view
            self._view = after = self._following(before, cluster)
        self.endpoint.breaker.succeeded()
        self._knowledge.is_known()
        if before is not None and before.nodes.keys() != after.nodes.keys():
            logger.warning(
                "session store: the servers of %s are now %s (version %d)",
                self.name,
                ", ".join(node.name for node in after.nodes),
                after.version,
            )
            self._changed()

    def _following(self, before: _View | None, cluster: Cluster) -> _View:
        name = self.endpoint.name
        if not cluster.places:
            raise unavailable("the configuration endpoint names no server", name, silent=False)
        known = {} if before is None else {_place(node): node for node in before.nodes}
        if before is not None and cluster.version <= before.version:
            same = known.keys() == {(place.host, place.port) for place in cluster.places}
            if not same or cluster.version < before.version:
                text = f"its list of servers is version {cluster.version}, after {before.version}"
                raise unavailable(text, name, silent=False)
        nodes: dict[Node, str] = {}
        # In an order that all processes have, whatever the list's: by that the ring decides
        # where two servers have the same point.
        for host, address, port in sorted(cluster.places):
            node = known.get((host, port))
            had = "" if node is None or before is None else before.nodes[node]
            if node is None or (address and had and address != had):
                node = Node(replace(self._base, host=host, port=port), self._patience)
            nodes[node] = address or had
        if before is not None and nodes.keys() == before.nodes.keys():
            return before._replace(version=cluster.version, nodes=nodes)
        return _View(cluster.version, nodes, ring_of(tuple(nodes)))

    def failed(self, failure: Failure) -> None:
        """The configuration endpoint does not answer, or what it says means nothing."""
        if self.endpoint.breaker.error is None:
            goes_on = "the servers known so far are used" if self.is_known else "none is known yet"
            logger.warning("session store: %s; %s", failure.error, goes_on)
        self.endpoint.breaker.failed(time.monotonic(), failure.error)
        self._knowledge.failed(failure)

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
    """Asks the configuration endpoint."""

    def __init__(self, topology: Discovered) -> None:
        super().__init__(topology, "discovery")
        self._poll = topology.poll

    def work(self) -> None:
        failures, pause = 0, min(SOON, self._poll)
        while True:
            if self._ask():
                failures = 0
                seconds, pause = pause, self._poll
            else:
                seconds = min(self._poll, FIRST_RETRY * 2 ** min(failures, 20))
                failures += 1
            seconds *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 (jitter)
            least = min(seconds, LEAST_PAUSE)
            self.rest(least)
            self.wait(seconds - least)

    def _ask(self) -> bool:
        # The owner anew each time: by now it may be closed, or gone.
        try:
            cluster = ask(self.owner().endpoint.endpoint, time.monotonic() + LEARNING_SECONDS)
            self.owner().told(cluster)
        except Failure as failure:
            self.owner().failed(failure)
        except StoreError as error:
            self.owner().failed(Failure(error, retry=False))
        else:
            return True
        return False


def ask(endpoint: Endpoint, until: float) -> Cluster:
    """What a configuration endpoint says now.

    :raises Failure: it says nothing, or nothing that means anything
    """
    with closing(connect(endpoint, until)) as link:
        reply: Reply = link.exchange(_QUESTION, until)
    if reply.outcome is Outcome.UNKNOWN:
        text = 'the server does not know "config get cluster": it is no configuration endpoint'
        raise refused(text, endpoint.node)
    if reply.outcome in ERRORS:
        raise from_reply(reply, endpoint.node)
    if reply.value is None:
        raise unavailable("the server has no list of servers", endpoint.node, silent=False)
    try:
        return cluster_from(reply.value)
    except ValueError as error:
        raise refused(f"not a list of servers: {error}", endpoint.node) from None


def _place(node: Node) -> tuple[str, int]:
    endpoint = node.endpoint
    return endpoint.host, endpoint.port
