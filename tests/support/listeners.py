"""What listens where a server is expected: by another name, or speaking something else."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress


@contextmanager
def listening(context: ssl.SSLContext | None, answer: bytes = b"") -> Iterator[int]:
    """A server that shakes hands, or answers whatever comes with these bytes."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0.05)
        stopping = threading.Event()

        def serve() -> None:
            while not stopping.is_set():
                with suppress(OSError):
                    client, _ = listener.accept()
                    with client:
                        client.settimeout(1)
                        if context is not None:
                            client = context.wrap_socket(client, server_side=True)
                        client.recv(4096)
                        client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        stopping.set()
        thread.join()


@contextmanager
def forwarding(host: str, port: int) -> Iterator[int]:
    """Forward connections to this address to the same port of 127.0.0.1; gives the new port."""
    with closing(socket.create_server((host, 0))) as listener:
        listener.settimeout(0.05)
        stopping = threading.Event()

        def pump(source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError), source, target:
                while data := source.recv(4096):
                    target.sendall(data)

        def serve() -> None:
            while not stopping.is_set():
                with suppress(OSError):
                    client, _ = listener.accept()
                    server = socket.create_connection(("127.0.0.1", port))
                    for pair in ((client, server), (server, client)):
                        threading.Thread(target=pump, args=pair, daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        stopping.set()
        thread.join()
