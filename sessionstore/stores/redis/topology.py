"""Which servers there are, and which of them a command is for.

``sentinel.py`` and ``cluster.py`` learn from their servers in a thread.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from sessionstore.stores.health import Breaker
from sessionstore.stores.redis.endpoint import Endpoint
from sessionstore.stores.redis.failures import Redirect
from sessionstore.stores.servers import topology as servers


class Node(servers.Server):
    """One server in one role: where it is, and what has been seen of it.

    :param patience: seconds of silence after which it is known to be dead
    """

    __slots__ = ("copies", "disk_misses", "waits_for_disk")

    endpoint: Endpoint

    def __init__(self, endpoint: Endpoint, patience: float, role: str = "primary") -> None:
        super().__init__(endpoint, endpoint.node, patience, role)
        self.copies = Breaker(patience)
        """Whether its replicas confirm writes."""
        self.waits_for_disk: bool | None = None
        """Whether it takes WAITAOF; None: nobody has tried."""
        self.disk_misses = 0

    @property
    def is_replica(self) -> bool:
        """Whether what it says may be behind."""
        return self.role == "replica"

    def check(self, now: float) -> None:
        # A replica was asked already when it was chosen, and would be refused its own probe here.
        if not self.is_replica:
            super().check(now)


class Topology(servers.Topology):
    """The servers of one store."""

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

    def redirected(self, redirect: Redirect, asked: Node) -> Node | None:
        """Who has the slot instead; None: this is no cluster."""
        return None

    def suspect(self, node: Node) -> None:
        """Something is wrong with a node: look whether the topology has changed."""
        return


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
