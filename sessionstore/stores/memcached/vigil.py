"""The threads that look at every server twice a second, where a lost one is left out."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from sessionstore.core.errors import StoreError
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.health import NodeHealth
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.memcached.blocking import Link, connect
from sessionstore.stores.memcached.failures import from_reply, is_broken
from sessionstore.stores.memcached.membership import Membership
from sessionstore.stores.memcached.messages import ERRORS, Outcome, Reply, Request, Verb
from sessionstore.stores.memcached.notes import pack, run_from, unpack
from sessionstore.stores.memcached.topology import Node, Topology
from sessionstore.stores.servers.watching import Watcher

LATENESS: Final = 0.2
"""Seconds over a look's limit by which a thread may be late without being called starved."""
FIRST_LOOK: Final = 0.01
"""Seconds between looks at whether everybody has been looked at."""


class Watched(Topology):
    """A topology whose servers are looked at, and left out when they are lost.

    :param notes_key: where the notes are
    """

    def __init__(self, membership: Membership, notes_key: bytes, keep_out: float) -> None:
        inner = membership.topology
        super().__init__(inner.name, inner.protocol)
        self.membership = membership
        self.notes_key = notes_key
        self.keep_out = keep_out
        self._inner = inner
        self._reset()
        inner.on_change(self._follow)
        forget_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._vigils: dict[Node, _Vigil] = {}
        self._watching = False

    # -- what it knows --

    def node_for(self, key: bytes) -> Node | None:
        return self._inner.node_for(key)

    def walk(self, key: bytes) -> Sequence[Node]:
        return self._inner.walk(key)

    def nodes(self) -> Sequence[Node]:
        return self._inner.nodes()

    def watched(self, now: float) -> tuple[NodeHealth, ...]:
        return self._inner.watched(now)

    def suspect(self, node: Node) -> None:
        self._inner.suspect(node)

    def wait(self, until: float) -> None:
        self._inner.wait(until)
        if not self._watching:
            self._start()
        while not self.membership.is_current():
            if time.monotonic() >= until:
                text = "it is not known yet which servers are left out"
                raise unavailable(text, self.name, silent=False)
            time.sleep(FIRST_LOOK)

    # -- how it learns --

    def _start(self) -> None:
        with self._lock:
            if not self._watching:
                self.membership.begin()
                self._watching = True
                self._post()

    def _follow(self) -> None:
        self.membership.follow()
        with self._lock:
            if self._watching:
                self._post()
        self._changed()

    def _post(self) -> None:
        """Have one thread for each server."""
        nodes = self.nodes()
        for node in self._vigils.keys() - set(nodes):
            self._vigils.pop(node).stop()
        try:
            for node in nodes:
                if node not in self._vigils:
                    vigil = _Vigil(self, node)
                    vigil.start()
                    self._vigils[node] = vigil
        except Failure:
            self._dismiss()
            raise

    def _dismiss(self) -> None:
        self._watching = False
        for vigil in self._vigils.values():
            vigil.stop()
        self._vigils.clear()

    def close(self) -> None:
        with self._lock:
            self._dismiss()
        self._inner.close()

    def after_fork(self) -> None:
        for vigil in self._vigils.values():
            vigil.after_fork()
        self._reset()
        self.membership.after_fork()


class _Vigil(Watcher):
    """Looks at one server."""

    def __init__(self, topology: Watched, node: Node) -> None:
        super().__init__(topology, f"vigil-{node.name}")
        self._node = node
        self._key = topology.notes_key
        self._ttl = topology.keep_out
        self._pace = topology.membership.pace
        self._link: Link | None = None

    def work(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self._look(began)
            except (Failure, StoreError) as error:
                self._drop()
                # One that answers, if only with an error, is not lost. And who is late by itself
                # has no right to blame the server; its lease runs out.
                silent = isinstance(error, Failure) and error.silent
                if time.monotonic() - began < self._pace.look + LATENESS:
                    self.owner().membership.missed(self._node, began, silent=silent)
            # Spread, so that processes that were started together do not all ask together.
            self.wait(self._pace.pause * random.uniform(0.8, 1))  # noqa: S311 (jitter)

    def _look(self, began: float) -> None:
        until = began + self._pace.look
        stats = self._ask(Request(Verb.STATS), until, accept=ERRORS)
        if is_broken(stats):
            self._drop()  # refused, and the connection with it; sessions may go on all the same
        notes = self._ask(Request(Verb.GET, self._key), until)
        self._node.breaker.succeeded()
        membership: Membership = self.owner().membership
        membership.told(self._node, run_from(stats.stats or {}), unpack(notes.value or b""), began)
        wanted = membership.wanted_on(self._node)
        if wanted is not None:
            verb = Verb.ADD if notes.outcome is Outcome.MISSING else Verb.REPLACE
            # Should somebody else have been faster: they are read again in the next round.
            self._ask(Request(verb, self._key, pack(wanted), self._ttl, notes.cas), until)

    def _ask(
        self, request: Request, until: float, accept: frozenset[Outcome] = frozenset()
    ) -> Reply:
        if self._link is None:
            self._link = connect(self._node.endpoint, until)
        reply = self._link.exchange(request, until)
        if reply.outcome in ERRORS and reply.outcome not in accept:
            raise from_reply(reply, self._node.name)
        return reply

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            with suppress(OSError):  # it is gone either way
                link.close()

    def forget(self) -> None:
        super().forget()
        self._drop()
