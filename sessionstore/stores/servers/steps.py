"""What a flow that carries a command may ask of a transport, beside sending it."""

from __future__ import annotations

from typing import NamedTuple

from sessionstore.stores.servers.topology import Server


class Pause(NamedTuple):
    """Wait so many seconds."""

    seconds: float


class Learn(NamedTuple):
    """Wait until the topology is known."""

    until: float


class Forget(NamedTuple):
    """Close all connections to a server, because it is not what it was."""

    node: Server
