"""Which servers a store has.

One topology belongs to one store, and is shared by all threads and event loops of a process. It
does no I/O of its own; where servers are learned from others, a thread does that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakMethod

from sessionstore.core.errors import StoreUnavailable
from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.health import Breaker, NodeHealth


class Server:
    """One server: where it is, and what has been seen of it.

    :param endpoint: what the store's connections need
    :param name: for messages
    :param patience: seconds of silence after which it is known to be dead
    """

    __slots__ = ("breaker", "endpoint", "name", "role")

    def __init__(self, endpoint: Any, name: str, patience: float, role: str = "primary") -> None:
        self.endpoint = endpoint
        self.name = name
        self.role = role
        self.breaker = Breaker(patience)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.role}>"

    def health(self, now: float) -> NodeHealth:
        """What has been seen of it."""
        return self.breaker.health(self.name, self.role, now)

    def check(self, now: float) -> None:
        """Before a request's first attempt at a server; those after it are its own.

        :raises Failure: the server is known to be dead, and this request is not its probe
        """
        breaker = self.breaker
        if breaker.is_open and not breaker.admits(now):
            text = f"not tried, because it does not answer: {breaker.error}"
            raise Failure(StoreUnavailable(text), retry=False)


def replaced(server: Server) -> Failure:
    """Nothing is sent to a server that is not part of the topology any more: it may be a frozen
    primary, and what it says when it wakes is worth nothing."""
    return unavailable("another server has taken its place", server.name, silent=False)


class Topology(ABC):
    """The servers of one store.

    :param name: for messages, when no single server is meant
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._listeners: list[WeakMethod[Callable[[], None]]] = []

    @abstractmethod
    def nodes(self) -> Sequence[Server]:
        """All to which connections may be open."""

    def watched(self, now: float) -> tuple[NodeHealth, ...]:
        """The health of servers that hold no sessions, such as sentinels."""
        return ()

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
