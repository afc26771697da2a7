"""A TCP proxy that misbehaves on demand, in front of a real server."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

CHUNK = 65536


class FaultProxy:
    """Forwards connections on a free port of loopback to a server, with a fault.

    ``proxy.fault`` may be changed at any time and holds for what is forwarded from then on:

    ===============  ===========================================================================
    ``""``           none
    ``"reset"``      the connection is reset (RST) as soon as the client sends something
    ``"silent"``     requests are read and thrown away
    ``"full"``       nothing is read: the client's buffers fill up
    ``"lost"``       the server executes the request; its reply is dropped and the client reset
    ``"swallowed"``  the server executes the request; its reply is dropped and nothing follows
    ``"half"``       the first half of the reply arrives, then a reset
    ``"stalled"``    the first half of the reply arrives, then nothing
    ``"slices"``     the reply arrives byte by byte, every ``delay`` seconds
    ``"instead"``    the reply is replaced by ``proxy.instead``
    ===============  ===========================================================================

    ``proxy.accepted`` counts connections; ``proxy.requests`` has what clients sent, chunk by chunk.
    """

    def __init__(self, upstream: Path | tuple[str, int], fault: str = "") -> None:
        self.fault = fault
        self.delay = 0.0
        self.instead = b""
        self.accepted = 0
        self.requests: list[bytes] = []
        self.connected = threading.Event()
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = False

    def __enter__(self) -> FaultProxy:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        self.cut()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many clients are connected."""
        return len(self._sockets) // 2

    def cut(self) -> None:
        """Reset every connection there is."""
        for sock in list(self._sockets):
            _reset(sock)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping:
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                self.accepted += 1
                self._connect(client)
                self.connected.set()

    def _connect(self, client: socket.socket) -> None:
        if isinstance(self._upstream, Path):
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._upstream))
        else:
            server = socket.create_connection(self._upstream)
        pair = {client, server}
        self._sockets |= pair
        self._start(self._pump, client, server, self._request)
        self._start(self._pump, server, client, self._reply)

    def _pump(self, source: socket.socket, target: socket.socket, forward: object) -> None:
        with suppress(OSError):  # the other direction may have closed both
            source.settimeout(0.05)
            while not self._stopping:
                if self.fault == "full" and forward == self._request:
                    time.sleep(0.01)
                    continue
                try:
                    data = source.recv(CHUNK)
                except TimeoutError:
                    continue
                if not data:
                    break
                if not forward(data, target, source):  # type: ignore[operator]
                    break
        for sock in (source, target):
            self._sockets.discard(sock)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _request(self, data: bytes, server: socket.socket, client: socket.socket) -> bool:
        self.requests.append(data)
        if self.fault == "reset":
            _reset(client)
            return False
        if self.fault != "silent":
            server.sendall(data)
        return True

    def _reply(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        match self.fault:
            case "lost":
                _reset(client)
                return False
            case "swallowed":
                return True
            case "half" | "stalled":
                client.sendall(data[: len(data) // 2])
                if self.fault == "half":
                    _reset(client)
                    return False
            case "slices":
                for byte in data:
                    client.sendall(bytes([byte]))
                    time.sleep(self.delay)
            case "instead":
                client.sendall(self.instead)
            case _:
                client.sendall(data)
        return True


def _reset(sock: socket.socket) -> None:
    with suppress(OSError):
        # Lingering for 0 seconds: close() sends RST and not FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RD)
    sock.close()
