"""Which servers there are, and which of them has a key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.ring import Member, Ring
from sessionstore.stores.servers import topology as servers


class Node(servers.Server):
    """One server.

    :param patience: seconds of silence after which it is known to be dead
    :param weight: its share of the keys, beside the weights of the others
    """

    __slots__ = ("weight",)

    endpoint: Endpoint

    def __init__(self, endpoint: Endpoint, patience: float, weight: int = 1) -> None:
        super().__init__(endpoint, endpoint.node, patience)
        self.weight = weight


class Topology(servers.Topology):
    """The servers of one store.

    :param protocol: in which all of them are spoken to
    """

    def __init__(self, name: str, protocol: str) -> None:
        super().__init__(name)
        self.protocol = protocol

    @abstractmethod
    def node_for(self, key: bytes) -> Node | None:
        """Who has this key (b"": any will do); None: nothing is known yet.

        :raises Failure: it is known that nobody has
        """

    @abstractmethod
    def walk(self, key: bytes) -> Sequence[Node]:
        """Who has this key, then who would have it without the first, and so on."""

    @abstractmethod
    def nodes(self) -> Sequence[Node]:
        """All to which connections may be open; empty: nothing is known yet."""

    def suspect(self, node: Node) -> None:
        """A node does not answer: look whether it is still one of them."""
        return

    @property
    def changes(self) -> bool:
        """Whether servers may come and go, and keys with them."""
        return False


def ring_of(nodes: Sequence[Node]) -> Ring[Node]:
    """Where the keys are."""
    return Ring([Member(node, node.endpoint.label, node.weight) for node in nodes])


class Fixed(Topology):
    """The servers that the URL names, on one ring."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        super().__init__(",".join(node.name for node in nodes), nodes[0].endpoint.protocol)
        self._nodes = tuple(nodes)
        self._ring = ring_of(nodes)

    def node_for(self, key: bytes) -> Node:
        return self._ring.owner(key) if len(self._nodes) > 1 else self._nodes[0]

    def walk(self, key: bytes) -> Sequence[Node]:
        return self._ring.walk(key)

    def nodes(self) -> Sequence[Node]:
        return self._nodes
