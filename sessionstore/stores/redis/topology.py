"""Which servers there are, and which of them a command is for.

One topology belongs to one store, and is shared by all threads and event loops of a process. It
does no I/O of its own; ``sentinel.py`` and ``cluster.py`` learn from their servers in a thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from weakref import WeakMethod

from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.health import Breaker, NodeHealth
from sessionstore.stores.redis.endpoint import Endpoint
from sessionstore.stores.redis.failures import Redirect


class Node:
    """One server in one role: where it is, and what has been seen of it.

    :param patience: seconds of silence after which it is known to be dead
    """

    __slots__ = ("breaker", "copies", "disk_misses", "endpoint", "name", "role", "waits_for_disk")

    def __init__(self, endpoint: Endpoint, patience: float, role: str = "primary") -> None:
        self.endpoint = endpoint
        self.name = endpoint.node
        self.role = role
        self.breaker = Breaker(patience)
        self.copies = Breaker(patience)
        """Whether its replicas confirm writes."""
        self.waits_for_disk: bool | None = None
        """Whether it takes WAITAOF; None: nobody has tried."""
        self.disk_misses = 0

    def __repr__(self) -> str:
        return f"<Node {self.name} {self.role}>"

    @property
    def is_replica(self) -> bool:
        """Whether what it says may be behind."""
        return self.role == "replica"

    def health(self, now: float) -> NodeHealth:
        """What has been seen of it."""
        return self.breaker.health(self.name, self.role, now)


def replaced(node: Node) -> Failure:
    """Nothing is sent to a node that is not part of the topology any more: it may be a frozen
    primary, and what it says when it wakes is worth nothing."""
    return unavailable("another server has taken its place", node.name, silent=False)


class Topology(ABC):
    """The servers of one store.

    :param name: for messages, when no single server is meant
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._listeners: list[WeakMethod[Callable[[], None]]] = []

    @abstractmethod
    def primary_for(self, key: bytes) -> Node | None:
        """Who holds this key (b"": any primary will do); None: nothing is known yet.

        :raises Failure: it is known that nobody does
        """

    @abstractmethod
    def primaries(self) -> Sequence[Node]:
        """Those which together hold every key; empty: nothing is known yet."""

    @abstractmethod
    def replicas_for(self, key: bytes) -> Sequence[Node]:
        """Who has copies of this key and may be read from."""

    @abstractmethod
    def nodes(self) -> Sequence[Node]:
        """All to which connections may be open."""

    def watched(self, now: float) -> tuple[NodeHealth, ...]:
        """The health of servers that hold no sessions, such as sentinels."""
        return ()

    def redirected(self, redirect: Redirect, asked: Node) -> Node | None:
        """Who has the slot instead; None: this is no cluster."""
        return None

    def suspect(self, node: Node) -> None:
        """Something is wrong with a node: look whether the topology has changed."""
        return

    def wait(self, until: float) -> None:
        """Block until something is known.

        :param until: on the clock of :func:`time.monotonic`
        :raises Failure: until then nothing was, and why
        """
        return

    def close(self) -> None:
        """Stop learning; it begins again when the topology is next used."""
        return

    # -- changes --

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have a method called when :meth:`nodes` has changed, from any thread."""
        self._listeners.append(WeakMethod(listener))

    def _changed(self) -> None:
        for reference in self._listeners:
            listener = reference()
            if listener is not None:
                listener()


class Fixed(Topology):
    """The servers that the URL names: one, and perhaps replicas of it."""

    def __init__(self, primary: Node, replicas: Sequence[Node] = ()) -> None:
        super().__init__(primary.name)
        self._primaries = (primary,)
        self._replicas = tuple(replicas)

    def primary_for(self, key: bytes) -> Node:
        return self._primaries[0]

    def primaries(self) -> Sequence[Node]:
        return self._primaries

    def replicas_for(self, key: bytes) -> Sequence[Node]:
        return self._replicas

    def nodes(self) -> Sequence[Node]:
        return self._primaries + self._replicas
