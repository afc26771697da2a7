"""Redis Sentinel: which server is the primary is what the sentinels say.

Each sentinel is followed by a thread of its own, so that a dead one costs no request anything. The
thread asks once a second, and at once when the sentinel announces a switch or a request has met
trouble. Of different answers the one with the highest configuration epoch counts: a sentinel that
was cut off still names the old primary, by an older epoch, and is not believed either when it is
the only one left in sight.

When the primary changes, all connections to the old one are closed at once, those in use as well:
it may only be frozen, and what it says when it wakes is worth nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

from sessionstore.core.errors import StoreError, StoreRefused
from sessionstore.stores.attempts import Failure, refused
from sessionstore.stores.health import NodeHealth
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.redis.endpoint import Endpoint, pack
from sessionstore.stores.redis.failures import ReplyError, from_reply
from sessionstore.stores.redis.greetings import PRIMARY
from sessionstore.stores.redis.link import Link
from sessionstore.stores.redis.topology import Node, Topology
from sessionstore.stores.servers.watching import LEARNING_SECONDS, Knowledge, Watcher

logger = logging.getLogger("sessionstore")

INTERVAL: Final = 1.0
TROUBLED_INTERVAL: Final = 0.1
TROUBLED_FOR: Final = 2.0
"""Seconds between questions; while requests fail, for so long; and for how long after one has."""

_ANNOUNCEMENTS: Final = ("+switch-master", "+promoted-slave")
_DOWN: Final = {"s_down", "o_down", "disconnected"}


class View(NamedTuple):
    """What one sentinel says."""

    epoch: int
    primary: tuple[str, int]
    replicas: tuple[tuple[str, int], ...] = ()


class Sentinels(Topology):
    """One primary and its replicas.

    :param service: what the sentinels call it, such as ``mymaster``
    :param sentinels: where they are
    :param base: how to connect to the servers: everything but their address
    :param patience: seconds of silence after which a server is known to be dead
    """

    def __init__(
        self,
        service: str,
        sentinels: Sequence[Endpoint],
        base: Endpoint,
        patience: float,
        *,
        read_replicas: bool = False,
    ) -> None:
        super().__init__(f"sentinel {service}")
        self.service = service
        self.read_replicas = read_replicas
        self._sentinels = [Node(endpoint, patience, "sentinel") for endpoint in sentinels]
        self._base = base
        self._patience = patience
        self._primary: Node | None = None
        self._replicas: tuple[Node, ...] = ()
        self._epoch = -1
        self._reset()
        forget_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._knowledge = Knowledge(self.name, self._patience, known=self._primary is not None)
        self._views: dict[Node, View] = {}
        self._failures: dict[Node, Failure] = {}
        self._watches: list[_Watch] = []
        self.troubled_until = 0.0

    # -- what it knows --

    def primary_for(self, key: bytes) -> Node | None:
        if not self._watches:
            self._start()
        return self._primary

    def primaries(self) -> Sequence[Node]:
        primary = self.primary_for(b"")
        return () if primary is None else (primary,)

    def replicas_for(self, key: bytes) -> Sequence[Node]:
        return self._replicas

    def nodes(self) -> Sequence[Node]:
        return self._replicas if self._primary is None else (self._primary, *self._replicas)

    def watched(self, now: float) -> tuple[NodeHealth, ...]:
        return tuple(sentinel.health(now) for sentinel in self._sentinels)

    def wait(self, until: float) -> None:
        self.primary_for(b"")
        self._knowledge.wait(until)

    # -- how it learns --

    def _start(self) -> None:
        with self._lock:
            if self._watches:
                return
            watches: list[_Watch] = []
            try:
                for sentinel in self._sentinels:
                    watch = _Watch(self, sentinel)
                    watch.start()
                    watches.append(watch)
            except Failure:
                for watch in watches:
                    watch.stop()
                raise
            self._watches = watches

    def suspect(self, node: Node) -> None:
        now = time.monotonic()
        was_troubled = now < self.troubled_until
        self.troubled_until = now + TROUBLED_FOR
        if not was_troubled:
            for watch in self._watches:
                watch.wake()

    def told(self, sentinel: Node, view: View) -> None:
        """By a sentinel that was asked."""
        sentinel.breaker.succeeded()
        with self._lock:
            self._failures.pop(sentinel, None)
            before = self._views.get(sentinel)
            # Among equals the one that was told last counts, if it says something new.
            if view != before:
                self._views.pop(sentinel, None)
                self._views[sentinel] = view
            best = view
            for other in self._views.values():
                if other.epoch >= best.epoch:
                    best = other
            # Back to an older epoch only by most of them, who have all been set up anew. A few,
            # and the others out of sight, may be cut off together with the primary that was.
            back = best.epoch < self._epoch and 2 * len(self._views) <= len(self._sentinels)
            changed = not back and self._adopt(best)
        self._knowledge.is_known()
        if changed:
            self._changed()

    def lost(self, sentinel: Node, failure: Failure) -> None:
        """A sentinel does not answer, or refuses to."""
        sentinel.breaker.failed(time.monotonic(), failure.error)
        with self._lock:
            self._views.pop(sentinel, None)
            self._failures[sentinel] = failure
            all_failed = len(self._failures) == len(self._sentinels)
            # What one refuses is more to the point than that another does not answer.
            worst = min(self._failures.values(), key=lambda each: each.retry)
        if all_failed:
            self._knowledge.failed(worst)

    def _adopt(self, view: View) -> bool:
        """Whether :meth:`nodes` has changed."""
        before = self.nodes()
        primary = self._node(view.primary, "primary")
        if self._primary is not None and primary is not self._primary:
            logger.warning("session store: %s is the primary now (%s)", primary.name, self.name)
        self._primary, self._epoch = primary, view.epoch
        self._replicas = tuple(self._node(address, "replica") for address in view.replicas)
        return list(self.nodes()) != list(before)

    def _node(self, address: tuple[str, int], role: str) -> Node:
        for node in self.nodes():
            if (node.endpoint.host, node.endpoint.port) == address and node.role == role:
                return node
        host, port = address
        greeting = PRIMARY if role == "primary" else None
        endpoint = replace(self._base, host=host, port=port, greeting=greeting)
        return Node(endpoint, self._patience, role)

    def close(self) -> None:
        with self._lock:
            watches, self._watches = self._watches, []
        for watch in watches:
            watch.stop()

    def after_fork(self) -> None:
        for watch in self._watches:
            watch.after_fork()
        self._reset()


class _Watch(Watcher):
    """Follows one sentinel."""

    def __init__(self, topology: Sentinels, sentinel: Node) -> None:
        super().__init__(topology, f"sentinel-{sentinel.endpoint.port}")
        self._sentinel = sentinel
        self._service = topology.service
        self._links: list[Link] = []
        name = topology.service
        questions = [
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name),
            ("SENTINEL", "MASTER", name),
        ]
        if topology.read_replicas:
            questions.append(("SENTINEL", "REPLICAS", name))
        self._questions = b"".join(pack(question) for question in questions)
        self._count = len(questions)

    def work(self) -> None:
        while True:
            try:
                self._follow()
            except Failure as failure:
                self.owner().lost(self._sentinel, failure)
            except StoreError as error:
                self.owner().lost(self._sentinel, Failure(error, retry=False))
            if self.wait(INTERVAL):
                self.rest(TROUBLED_INTERVAL)

    def _follow(self) -> None:
        endpoint = self._sentinel.endpoint
        until = time.monotonic() + LEARNING_SECONDS
        with closing(Link(endpoint, until)) as questions:
            self._links = [questions]
            # The first answer before anything else: requests are waiting for it.
            self._tell(questions)
            with closing(Subscription(endpoint, time.monotonic() + LEARNING_SECONDS)) as news:
                self._links.append(news)
                while True:
                    self._tell(questions)
                    troubled = time.monotonic() < self.owner().troubled_until
                    self.wait(TROUBLED_INTERVAL if troubled else INTERVAL, news.waitable)
                    news.drain()

    def _tell(self, link: Link) -> None:
        node = self._sentinel.name
        until = time.monotonic() + LEARNING_SECONDS
        replies = link.exchange(self._questions, until, self._count)
        self.owner().told(self._sentinel, view_from(replies, self._service, node))

    def forget(self) -> None:
        super().forget()
        for link in self._links:
            with suppress(OSError):  # it is gone either way
                link.close()


class Subscription(Link):
    """A connection on which a sentinel announces what happens."""

    def __init__(self, endpoint: Endpoint, until: float) -> None:
        super().__init__(endpoint, until)
        try:
            for channel in _ANNOUNCEMENTS:
                reply = self.exchange(pack(("SUBSCRIBE", channel)), until)
                if isinstance(reply, ReplyError):
                    raise from_reply(reply, endpoint.node)
        except BaseException:
            self.close()
            raise

    def drain(self) -> None:
        """Read what has been announced. What it was does not matter: the sentinel is asked."""
        while not self.is_fresh():
            self.discard(time.monotonic() + LEARNING_SECONDS)


def view_from(replies: list[Any], service: str, node: str) -> View:
    """What a sentinel's answers mean.

    :raises Failure: it does not know the service, or does not let us ask
    """
    for reply in replies:
        if reply is None or "No such master" in str(reply):
            raise refused(f"the sentinel watches no service named {service!r}", node)
        if isinstance(reply, ReplyError):
            raise from_reply(reply, node)
    try:
        host, port = replies[0]
        facts = _facts(replies[1])
        replicas = tuple(
            (replica["ip"], int(replica["port"]))
            for replica in map(_facts, replies[2] if len(replies) > 2 else ())
            if not _DOWN & set(replica["flags"].split(","))
            and replica.get("master-link-status") == "ok"
        )
        return View(int(facts["config-epoch"]), (host.decode(), int(port)), replicas)
    except (TypeError, ValueError, LookupError, OverflowError, AttributeError):
        raise Failure(StoreRefused("unexpected reply of a sentinel", node=node)) from None


def _facts(reply: Any) -> dict[str, str]:
    texts = [part.decode("utf-8", "replace") for part in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))
