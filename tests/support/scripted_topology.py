"""Scripted servers of a topology: what no real one can be brought to say, or only after minutes."""

from __future__ import annotations

import time
from collections.abc import Callable

from sessionstore.testing import FaultProxy
from tests.support.scripted_redis import ScriptedRedis

MASTER = b"*2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
"""The part of the reply to HELLO that matters."""


class Saying(ScriptedRedis):
    """Says what ``says`` has for a command's name, and nothing to any other."""

    def __init__(self, **says: bytes) -> None:
        self.says = says
        super().__init__(lambda command: self.says.get(command[0].decode(), b""))

    def count(self, name: str) -> int:
        """How many such commands have come."""
        return sum(command[0] == name.encode() for command in self.commands)

    def wait_for(self, name: str, count: int = 1) -> None:
        """Until so many such commands have come."""
        eventually(lambda: self.count(name) >= count)


class ScriptedSentinel(ScriptedRedis):
    """Names a primary, as of a configuration epoch."""

    def __init__(self, primary: ScriptedRedis | FaultProxy, epoch: int, port: int = 0) -> None:
        self.name(primary, epoch)
        super().__init__(self._answer, port)

    def name(self, primary: ScriptedRedis | FaultProxy, epoch: int) -> None:
        """From now on."""
        self._primary, self._epoch = primary, epoch
        self.asked = 0

    def wait_until_asked(self) -> None:
        """Until what it says has been heard."""
        before = self.asked
        eventually(lambda: self.asked > before + 1)

    def _answer(self, command: list[bytes]) -> bytes:
        match [part.decode().upper() for part in command[:2]]:
            case ["SENTINEL", "GET-MASTER-ADDR-BY-NAME"]:
                self.asked += 1
                return resp(["127.0.0.1", str(self._primary.port)])
            case ["SENTINEL", "MASTER"]:
                return resp(["name", "mymaster", "config-epoch", str(self._epoch)])
            case ["SENTINEL", "REPLICAS"]:
                return resp([])
            case ["SUBSCRIBE", _]:
                return resp(["subscribe", command[1].decode(), 1])
        return b"-ERR unknown\r\n"


def resp(reply: object) -> bytes:
    """As RESP2."""
    if isinstance(reply, list):
        return b"*%d\r\n%b" % (len(reply), b"".join(map(resp, reply)))
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if reply is None:
        return b"$-1\r\n"
    data = str(reply).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
