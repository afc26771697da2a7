"""How one command gets to its server and back, whatever the protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, NamedTuple, TypeVar

from sessionstore.core.flow import Command, Flow
from sessionstore.stores.attempts import ATTEMPT_SHARE
from sessionstore.stores.servers.topology import Server, Topology

S = TypeVar("S", bound=Server)
T = TypeVar("T", bound=Topology)


class Tried(NamedTuple):
    """A first attempt that was made already: at whom, and the reply or the ``Failure``."""

    server: Any
    result: Any


class Routing(ABC, Generic[S, T]):
    """Carries commands over one topology.

    Nearly every command goes to a server that is well, and is answered. A transport does that by
    itself, with what :meth:`direct` says; :meth:`carry` is for all else, and takes over from there.
    (Through the flow alone a command takes 4 us more, measured, and a task's 6 us.)

    :param timeout: the store's, in seconds: an attempt gets a share of it
    """

    def __init__(self, topology: T, timeout: float) -> None:
        self.topology = topology
        self.limit = timeout * ATTEMPT_SHARE

    @abstractmethod
    def direct(self, command: Command[Any]) -> S | None:
        """Whom to ask first, where that is all there is to decide."""

    @abstractmethod
    def request(self, command: Command[Any]) -> Any:
        """What is sent for it, as the connections take it."""

    @abstractmethod
    def carry(
        self,
        command: Command[Any],
        deadline: float,
        pinned: S | None = None,
        first: Tried | None = None,
    ) -> Flow[Any]:
        """See :meth:`sessionstore.stores.base.Store.execute`; yields the transport's steps.

        :param pinned: whom to ask, whatever the key
        :param first: the attempt that was made already
        """
