"""A server that speaks RESP and says what a test wants it to say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import hiredis

Answer = Callable[[list[bytes]], bytes | None]


class ScriptedRedis:
    """Answers every command with ``answer(command)``; None closes the connection, b"" is silence.

    ``commands`` lists what came, in order; ``connections`` counts those that ever were, ``open``
    those that are. In threads and not in a loop, which would have to be kept running until the
    last transport in it is closed.

    :param port: 0: a free one
    """

    def __init__(self, answer: Answer | bytes, port: int = 0) -> None:
        self.answer: Answer = answer if callable(answer) else lambda command: answer
        self.commands: list[list[bytes]] = []
        self.port = port
        self.connections = 0
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the waiting in accept()
        accepting, *_ = self._threads
        accepting.join(10)
        self._listener.close()
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    @property
    def url(self) -> str:
        """For ``open_store``, without a query."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def say(self, data: bytes) -> None:
        """To all clients, unasked."""
        for client in list(self._clients):
            client.sendall(data)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._clients.add(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        parser = hiredis.Reader(notEnoughData=Ellipsis)
        with client, suppress(OSError):
            while data := client.recv(65536):
                parser.feed(data)
                while (command := parser.gets()) is not Ellipsis:
                    self.commands.append(command)
                    answer = self.answer(command)
                    if answer is None:
                        break
                    client.sendall(answer)
                else:
                    continue
                break
        self._clients.discard(client)
