"""What a configuration endpoint says of its cluster: the payload of ``config get cluster``. No I/O.

https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/AutoDiscovery.AddingToYourClientLibrary.html
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from sessionstore.stores.memcached.messages import LARGEST_CONFIGURATION
from sessionstore.stores.memcached.ring import ketama_label

MOST_NODES: Final = 256
"""AWS allows 40 in a cluster, and more on request."""

_VERSION: Final = re.compile(rb"[0-9]{1,19}")
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f:.]{1,45}")
_PORT: Final = re.compile(r"[0-9]{1,5}")


class Place(NamedTuple):
    """Where a server is said to be.

    :param host: its name; without one, its address
    :param address: of its network interface; empty if that was not said
    """

    host: str
    address: str
    port: int


class Cluster(NamedTuple):
    """What the configuration endpoint says.

    :param version: higher with every server that joins or leaves
    """

    version: int
    places: tuple[Place, ...]


def cluster_from(payload: bytes) -> Cluster:
    """What ``config get cluster`` says: a version, and ``host|address|port`` of each server.

    All of it or nothing: with a part of the servers, keys would be looked for where they are not.

    :raises ValueError: it is something else; the message does not quote it

    >>> cluster_from(b"12\\nc.0001.aws.example|10.0.0.1|11211 |10.0.0.2|11211\\n")
    Cluster(version=12, places=(Place(host='c.0001.aws.example', address='10.0.0.1', port=11211), \
Place(host='10.0.0.2', address='10.0.0.2', port=11211)))
    """
    if len(payload) > LARGEST_CONFIGURATION:
        raise ValueError("too long")
    version, separator, rest = payload.partition(b"\n")
    if not separator or not _VERSION.fullmatch(version.removesuffix(b"\r")):
        raise ValueError("no version")
    try:
        line = rest.rstrip(b"\r\n").decode("ascii")
    except UnicodeDecodeError:
        raise ValueError("not ASCII") from None
    places = tuple(_place_from(text) for text in line.split(" ") if text)
    if len(places) > MOST_NODES:
        raise ValueError(f"more than {MOST_NODES} servers")
    if len({ketama_label(place.host.lower(), place.port) for place in places}) != len(places):
        raise ValueError("a server is named twice")
    return Cluster(int(version), places)


def _place_from(text: str) -> Place:
    parts = text.split("|")
    if len(parts) != 3:
        raise ValueError("not host|address|port")
    host, address, port = parts
    if address:
        address = _address(address)
    if ":" in host:
        host = _address(host)
    elif host and not _HOST.fullmatch(host):
        raise ValueError("not a host name")
    if not (host or address):
        raise ValueError("neither a host name nor an address")
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise ValueError("not a port")
    return Place(host or address, address, int(port))


def _address(text: str) -> str:
    try:
        if _ADDRESS.fullmatch(text):
            return str(ipaddress.ip_address(text))
    except ValueError:
        pass  # in our words
    raise ValueError("not an address")
