"""What Redis is asked while one watches."""

from __future__ import annotations

import secrets
from collections import Counter
from types import TracebackType
from typing import Any, Self

from benchmarks.servers import Servers


class Watch:
    """Counts the commands that clients send meanwhile; not those that a script runs inside.

    Nothing may be timed meanwhile: MONITOR slows the server down.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.commands: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._watching = self._servers.redis()
        self._monitor = self._watching.monitor()
        self._monitor.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        mark = secrets.token_hex(8)
        with self._servers.redis() as client:
            client.echo(mark)
        for seen in self._monitor.listen():
            command: dict[str, Any] = seen
            name, *rest = command["command"].split()
            if name.upper() == "ECHO" and rest == [mark]:
                break
            if command["client_type"] != "lua":
                self.commands[name.upper()] += 1
        self._monitor.__exit__(kind, error, trace)
        self._watching.close()
        for handshake in ("HELLO", "CLIENT", "ECHO", "PING"):
            self.commands.pop(handshake, None)
