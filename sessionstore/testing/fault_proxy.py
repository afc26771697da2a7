"""A TCP proxy that misbehaves on demand, in front of a real server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from sessionstore.testing.forwarding import Conditions, Fault, Link


class FaultProxy(Conditions):
    """Forwards connections on a free port of loopback to a server, with a fault.

    It knows no protocol, so it stands in front of any server, and of TLS as well. ``proxy.fault``
    may be changed at any time and holds for what arrives from then on. A *chunk* is what arrives
    at once: one request or reply, or several that were sent together.

    The server does not get the request:

    ===================  =======================================================================
    ``"reset"``          the connection is reset (RST) as soon as the client sends something
    ``"silent"``         requests are read and thrown away
    ``"full"``           nothing is read: the client's buffers fill up
    ``"black_hole"``     nothing passes, either way, and nobody accepts new connections
    ``"half_open"``      the server's side has ended, and the client is not told: what it sends is
                         read and never answered, also on new connections
    ``"error_instead"``  the answer to each chunk is ``proxy.error``
    ===================  =======================================================================

    The server executes the request:

    ===================  =======================================================================
    ``"lost"``           its reply is dropped and the client reset
    ``"swallowed"``      its reply is dropped and nothing follows
    ``"half"``           the first half of each chunk arrives, then a reset
    ``"stalled"``        the first half of each chunk arrives, then nothing
    ``"limit_reset"``    ``proxy.limit`` bytes of the replies arrive, then a reset
    ``"limit_silent"``   ``proxy.limit`` bytes of the replies arrive, then nothing
    ``"slices"``         the reply arrives byte by byte, one every ``proxy.delay`` seconds
    ``"error_after"``    each chunk of the reply is replaced by ``proxy.error``
    ``"slow_close"``     all is well, but the end of a connection is passed on ``proxy.delay``
                         seconds late
    ===================  =======================================================================

    These hold besides, also without a fault:

    - ``request_latency``, ``reply_latency``: seconds that every byte takes longer, each direction
    - ``bandwidth``: bytes a second, of each connection and each direction; 0 for no limit
    - ``matching``: a fault strikes only a chunk of requests with these bytes in it, and the replies
      after it, so that a log-in or a read gets through
    - ``times``: how many chunks a fault strikes before it is over by itself; None for no end

    (Neither holds for ``"full"``, ``"black_hole"``, ``"half_open"`` and ``"slow_close"``, which
    concern a connection and not a chunk.)

    And this is to look at:

    - ``accepted``: connections so far; ``open``: how many there are now
    - ``requests``: what clients sent, chunk by chunk
    - ``struck``: how many chunks a fault has struck
    - ``connected``: a :class:`threading.Event`, set when a client has connected

    :param upstream: the server's host and port, or the path of its Unix socket
    :param fault: the fault to begin with
    :raises ValueError: there is no fault of that name
    """

    def __init__(self, upstream: Path | tuple[str, int], fault: Fault = "") -> None:
        super().__init__()
        self.accepted = 0
        self.connected = threading.Event()
        self._upstream = upstream
        self._links: set[Link] = set()
        self._stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self.port: int = self._listener.getsockname()[1]
        self.fault = fault

    def __enter__(self) -> FaultProxy:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._acceptor.join(10)
        self._listener.close()
        self.cut()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many clients are connected."""
        return len(self._links)

    def cut(self) -> None:
        """Reset every connection there is. It is done when this returns."""
        links = list(self._links)
        for link in links:
            link.cut()
        for link in links:
            link.ended.wait(10)

    def _changed(self) -> None:
        for link in list(self._links):
            link.wake()

    def _accept(self) -> None:
        while not self._stopping:
            if self.fault == "black_hole":
                time.sleep(0.01)
                continue
            with suppress(TimeoutError):  # nobody came; whether to stop is looked at again
                client, _ = self._listener.accept()
                self.accepted += 1
                link = Link(self, client, self._upstream, self._links.discard)
                self._links.add(link)
                link.start()
                self.connected.set()


@contextmanager
def black_hole() -> Iterator[tuple[str, int]]:
    """Host and port of a server that never completes a connection, as behind a firewall (Linux).

    Its queue of connections is full, so the kernel throws further attempts away.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address: tuple[str, int] = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            yield address
        finally:
            for filler in fillers:
                filler.close()
