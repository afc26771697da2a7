"""Where libmemcached puts keys, asked of it through pylibmc. Nothing is connected to.

``placement.json`` beside this file is what Debian 12's pylibmc said, for Pythons that have none::

    apt-get install python3-pylibmc    # here with libmemcached 1.1.4
    /usr/bin/python3 -m tests.stores.memcached.placement > tests/stores/memcached/placement.json
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Final

Server = tuple[str, int, int]
"""Host, port, weight; a Unix socket's path, 0 and 1, since pylibmc gives it no other weight."""

SERVERS: Final[dict[str, list[Server]]] = {
    "the default port": [(f"10.0.0.{n}", 11211, 1) for n in range(1, 6)],
    "other ports": [("127.0.0.1", 11212 + n, 1) for n in range(3)],
    "host names": [("Cache-1.example", 11211, 1), ("cache-1.example", 11212, 1), ("c2", 11211, 1)],
    "IPv6": [("::1", 11211, 1), ("::1", 11212, 1), ("fe80::1", 11211, 1), ("2001:db8::7", 1, 1)],
    "Unix sockets": [(f"/run/memcached/{n}.sock", 0, 1) for n in range(3)],
    "weights": [("10.0.0.1", 11211, 1), ("10.0.0.2", 11211, 2), ("10.0.0.3", 11300, 5)],
    "sizes in MiB": [("a", 11211, 1024), ("b", 11211, 4096), ("c", 11211, 512), ("d", 11211, 4096)],
    # 40 * 3 * 29 / 60 is 58, and 57.999996 in 24 bits.
    "a weight that C's float rounds down": [("a", 11211, 29), ("b", 11211, 30), ("c", 11211, 1)],
    "a point that two servers share": [("10.1.2.232", 11211, 1), ("10.1.3.107", 11211, 1)],
    "a point that two share, the other way round": [
        ("10.1.3.107", 11211, 1),
        ("10.1.2.232", 11211, 1),
    ],
    "one server": [("10.0.0.1", 11211, 3)],
}
RECORD: Final = Path(__file__).with_suffix(".json")


def keys(count: int) -> list[str]:
    """Keys of the shape that sessions have, the same ones each time."""
    digests = (hashlib.sha256(b"%d" % number).digest() for number in range(count))
    return [f"sessionstore:s:{urlsafe_b64encode(digest[:12]).decode()}" for digest in digests]


def libmemcached(servers: list[Server], names: list[str]) -> list[int]:
    """For each key the index of its server, by libmemcached itself."""
    import pylibmc

    client = pylibmc.Client(list(map(_spec, servers)), behaviors={"ketama_weighted": True})
    return [client.hash(name) for name in names]


def _spec(server: Server) -> str:
    host, port, weight = server
    return f"[{host}]:{port}:{weight}" if port else host


def recorded(case: str) -> list[int]:
    """What was recorded of one of ``SERVERS``, for as many keys as were asked then."""
    return [int(digit) for digit in json.loads(RECORD.read_text())[case]]


if __name__ == "__main__":
    asked = keys(1000)
    found = {case: libmemcached(servers, asked) for case, servers in SERVERS.items()}
    lines = {case: "".join(map(str, indexes)) for case, indexes in found.items()}
    print(json.dumps(lines, indent=1))  # noqa: T201
