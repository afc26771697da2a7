"""``python -m tests.fuzz.capture``: what a real memcached says, as seeds, into the corpus.

Needs the environment of the tests, and a memcached. Statistics are left out that name a path.
"""

from __future__ import annotations

import re
import socket
from contextlib import closing
from typing import Final

from sessionstore.stores.memcached.binary import Binary
from sessionstore.stores.memcached.conversation import Conversation
from sessionstore.stores.memcached.messages import Codec, Request, Verb
from sessionstore.stores.memcached.meta import Meta
from tests.fuzz.replay import CORPUS
from tests.fuzz.targets.memcached import REQUESTS
from tests.support.memcached_servers import run_memcached

KEY: Final = b"fuzz:s:h"
ASKED: Final = {
    "verbs": [
        Request(Verb.GET, KEY),
        Request(Verb.ADD, KEY, b"\1revision 12.value", 60),
        Request(Verb.ADD, KEY, b"\1revision 12.value", 60),
        Request(Verb.GET, KEY),
        Request(Verb.REPLACE, KEY, b"x", 60, 10**9),
        Request(Verb.REPLACE, b"nobody", b"x", 60, 1),
        Request(Verb.DELETE, KEY, cas=10**9),
        Request(Verb.DELETE, KEY),
        Request(Verb.DELETE, KEY),
        Request(Verb.ADD, KEY, b"v", 60),
        Request(Verb.GAT, KEY, ttl=60),
        Request(Verb.TOUCH, KEY, ttl=60),
        Request(Verb.TOUCH, b"nobody", ttl=60),
        Request(Verb.NOOP),
        Request(Verb.VERSION),
    ],
    "settings": [Request(Verb.STATS, b"settings")],
    "slabs": [Request(Verb.STATS, b"slabs")],
    "too-large": [Request(Verb.ADD, KEY, bytes((1 << 20) + 1), 60)],
}
_TELLS_OF_A_PATH: Final = re.compile(rb"STAT [^\r]*/[^\r]*\r\n")


def main() -> None:
    """Each list of requests, in both protocols."""
    with run_memcached() as server:
        for codec in (Meta(), Binary()):
            directory = CORPUS / f"memcached-{codec.name}"
            directory.mkdir(parents=True, exist_ok=True)
            for name, requests in ASKED.items():
                if (codec.name, name) == ("binary", "settings"):
                    continue  # packets cannot be left out by a pattern
                told = _TELLS_OF_A_PATH.sub(b"", _say(codec, requests, str(server.socket)))
                # Before it, what the target reads: no cuts, and what was asked.
                asked = bytes((0, len(requests), *map(_place, requests)))
                (directory / f"real-{name}").write_bytes(asked + told)


def _place(request: Request) -> int:
    kinds = [(each.verb, each.cas > 0) for each in REQUESTS]
    return kinds.index((request.verb, request.cas > 0))


def _say(codec: Codec, requests: list[Request], path: str) -> bytes:
    conversation, told, replies = Conversation(codec), b"", 0
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(5)
        sock.connect(path)
        sock.sendall(b"".join(conversation.ask(request, 0) for request in requests))
        while replies < len(requests):
            part = sock.recv(1 << 16)
            told += part
            replies += len(list(conversation.hear(part)))
    return told


if __name__ == "__main__":
    main()
