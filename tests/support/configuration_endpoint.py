"""What ElastiCache has and nothing else ships: a server that names the nodes of a cluster."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.memcached_servers import MemcachedServer, run_memcached_ring
from tests.support.scripted_memcached import Asked, ScriptedMemcached
from tests.support.scripted_topology import eventually

HONEST = b"honest"
"""In place of what to say."""


class ConfigurationEndpoint(ScriptedMemcached):
    """Answers ``config get cluster``, and what is said to log in.

    :param says: HONEST: the nodes; other bytes: these; b"": nothing; None: it hangs up
    """

    def __init__(
        self, protocol: str = "meta", *, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        super().__init__(protocol, self._answer, tls=tls, port=port)
        self.version = 0
        self.nodes: tuple[str, ...] = ()
        self.says: bytes | None = HONEST
        self.asked = 0

    def name(self, *nodes: MemcachedServer | str, version: int | None = None) -> None:
        """From now on these, by the next version.

        :param nodes: servers, or ``host|address|port`` of each
        """
        self.version = self.version + 1 if version is None else version
        self.nodes = tuple(node if isinstance(node, str) else place(node) for node in nodes)

    def heard(self) -> None:
        """Wait until what it says now has been heard."""
        before = self.asked
        # The second question comes when the first answer has been dealt with.
        eventually(lambda: self.asked > before + 1)

    def payload(self) -> bytes:
        """What it says if it is honest."""
        return f"{self.version}\n{' '.join(self.nodes)}\n".encode()

    def reply(self, asked: Asked, payload: bytes) -> bytes:
        """A payload as the protocol carries it."""
        if self.protocol == "binary":
            return self.packet(asked, 0, payload)
        return b"CONFIG cluster 0 %d\r\n%b\r\nEND\r\n" % (len(payload), payload)

    def discover_url(self, scheme: str = "memcached+discover", host: str = "127.0.0.1") -> str:
        """For ``open_store``; options may follow."""
        return f"{scheme}://{host}:{self.port}?protocol={self.protocol}"

    def _answer(self, asked: Asked) -> bytes | None:
        if asked.name != "config":
            return b"ERROR\r\n"
        self.asked += 1
        return self.reply(asked, self.payload()) if self.says is HONEST else self.says


def place(server: MemcachedServer, host: str = "127.0.0.1") -> str:
    """A server as the endpoint names it."""
    assert isinstance(server.address, tuple)
    return f"{host}|127.0.0.1|{server.address[1]}"


@dataclass(frozen=True)
class DiscoveredCluster:
    """Servers, and the endpoint that names them.

    :param servers: running, whether they are named or not
    """

    endpoint: ConfigurationEndpoint
    servers: tuple[MemcachedServer, ...]

    @property
    def url(self) -> str:
        """For ``open_store``."""
        return self.endpoint.discover_url()


@contextmanager
def run_discovered_cluster(
    count: int, protocol: str = "meta", spare: int = 0
) -> Iterator[DiscoveredCluster]:
    """Open memcached servers on TCP ports.

    :param spare: how many of them, the last ones, are not named yet
    """
    with run_memcached_ring(count) as ring, ConfigurationEndpoint(protocol) as endpoint:
        endpoint.name(*ring.servers[: count - spare])
        yield DiscoveredCluster(endpoint, ring.servers)
