"""What a configuration endpoint of ElastiCache says: which servers there are."""

from __future__ import annotations

from collections.abc import Iterator

from sessionstore.stores.memcached.messages import LARGEST_CONFIGURATION
from sessionstore.stores.memcached.nodelist import MOST_NODES, Cluster, cluster_from


def nodelist(data: bytes) -> None:
    """All of a list, or an error that does not quote it."""
    try:
        cluster = cluster_from(data)
    except ValueError as error:
        assert str(error) in _ERRORS, error
        return
    assert len(data) <= LARGEST_CONFIGURATION
    assert len(cluster.places) <= MOST_NODES
    assert len({(place.host.lower(), place.port) for place in cluster.places}) == len(
        cluster.places
    )
    for place in cluster.places:
        assert place.host
        assert 0 < place.port < 65536
    assert cluster_from(_written(cluster)) == cluster


_ERRORS = {
    *("too long", "no version", "not ASCII", f"more than {MOST_NODES} servers"),
    *("a server is named twice", "not host|address|port", "not a host name", "not an address"),
    *("neither a host name nor an address", "not a port"),
}


def _written(cluster: Cluster) -> bytes:
    nodes = " ".join("|".join(map(str, place)) for place in cluster.places)
    return f"{cluster.version}\n{nodes}\n".encode()


def seeds() -> Iterator[bytes]:
    """As AWS documents it, and not quite."""
    yield b"12\nc.0001.aws.example|10.0.0.1|11211 |10.0.0.2|11211\n"
    yield b"1\r\nA|::1|1 a||2 ::2|::2|65535\n\r\n"
    yield b"1\n"
    yield b"1\na|1.2.3.4|0"
    yield b"1\na..b||1"
    yield b"1\na||1 A||1"
    yield b"99999999999999999999\na||1"
    yield b"1\n" + b" ".join(b"h%d||1" % number for number in range(257))
