"""The fault proxy: each fault is what it says, seen by plain sockets and a server that echoes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from sessionstore.testing import FaultProxy, black_hole

pytestmark = pytest.mark.once

QUIET = 0.1
"""Seconds after which nothing more is taken to come."""


class Echo:
    """Says whatever it hears; ``heard`` has it, ``ended`` counts the ends of connections."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):  # it is closed already
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            while data := client.recv(65536):
                self.heard += data
                if data == b"bye":
                    break
                client.sendall(data)
        self.ended += 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with FaultProxy(echo.address) as proxy:
        yield proxy


@contextmanager
def connected(proxy: FaultProxy, *, warm: bool = True) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if warm:
            assert ask(client, b"warm", 4) == b"warm"
        yield client


def ask(client: socket.socket, data: bytes, size: int) -> bytes:
    """Send this, and read so many bytes."""
    client.sendall(data)
    return exactly(client, size)


def exactly(client: socket.socket, size: int) -> bytes:
    reply = b""
    while len(reply) < size:
        data = client.recv(size - len(reply))
        assert data, "the connection has ended"
        reply += data
    return reply


def is_silent(client: socket.socket) -> bool:
    before = client.gettimeout()
    client.settimeout(QUIET)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    else:
        return False
    finally:
        client.settimeout(before)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_without_a_fault_everything_passes(proxy: FaultProxy) -> None:
    with connected(proxy) as client:
        sent = bytes(range(256)) * 20_000
        threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
        assert exactly(client, len(sent)) == sent
        assert (proxy.accepted, proxy.open, proxy.struck) == (1, 1, 0)
        assert b"".join(proxy.requests) == b"warm" + sent
        client.sendall(b"bye")
        assert client.recv(1) == b""
    until(lambda: proxy.open == 0)


def test_a_typing_error_is_no_fault_free_network(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="slient"):
        proxy.fault = "slient"  # type: ignore[assignment]


# -- the server does not get it --


def test_reset(proxy: FaultProxy, echo: Echo) -> None:
    with connected(proxy) as client:
        proxy.fault = "reset"
        with pytest.raises(ConnectionResetError):
            ask(client, b"hello", 5)
    assert echo.heard == b"warm"


def test_silent(proxy: FaultProxy, echo: Echo) -> None:
    with connected(proxy) as client:
        proxy.fault = "silent"
        client.sendall(b"hello")
        assert is_silent(client)
        proxy.fault = ""
        assert ask(client, b"later", 5) == b"later"
    assert echo.heard == b"warmlater"


def test_full(proxy: FaultProxy, echo: Echo) -> None:
    with connected(proxy) as client:
        proxy.fault = "full"
        client.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            client.sendall(bytes(64 << 20))
    assert echo.heard == b"warm"


def test_black_hole_and_back(proxy: FaultProxy, echo: Echo) -> None:
    with connected(proxy) as client:
        proxy.fault = "black_hole"
        client.sendall(b"hello")
        assert is_silent(client)
        with connected(proxy, warm=False) as late:
            late.sendall(b"late")
            assert is_silent(late)
            assert proxy.accepted == 1
            assert echo.heard == b"warm"
            proxy.fault = ""
            assert exactly(client, 5) == b"hello"
            assert exactly(late, 4) == b"late"


def test_half_open(proxy: FaultProxy, echo: Echo) -> None:
    with connected(proxy) as client:
        proxy.fault = "half_open"
        until(lambda: echo.ended == 1)
        client.sendall(b"hello")
        assert is_silent(client)
        with connected(proxy, warm=False) as late:
            late.sendall(b"late")
            assert is_silent(late)
        proxy.fault = ""
        # What was half open stays so; what comes now is whole.
        client.sendall(b"again")
        assert is_silent(client)
        with connected(proxy):
            pass
    until(lambda: proxy.open == 0)
    assert echo.heard == b"warmwarm"


def test_an_error_instead_of_executing(proxy: FaultProxy, echo: Echo) -> None:
    proxy.error = b"-READONLY no\r\n"
    with connected(proxy) as client:
        proxy.fault = "error_instead"
        assert ask(client, b"hello", len(proxy.error)) == proxy.error
    assert echo.heard == b"warm"


# -- the server executes it --


def test_an_error_after_executing(proxy: FaultProxy, echo: Echo) -> None:
    proxy.error = b"-READONLY no\r\n"
    with connected(proxy) as client:
        proxy.fault = "error_after"
        assert ask(client, b"hello", len(proxy.error)) == proxy.error
    assert echo.heard == b"warmhello"


@pytest.mark.parametrize(
    ("fault", "arrives"), [("lost", b""), ("half", b"hel"), ("limit_reset", b"hell")]
)
def test_some_of_the_reply_and_then_a_reset(
    proxy: FaultProxy, echo: Echo, fault: str, arrives: bytes
) -> None:
    proxy.limit = 4
    with connected(proxy) as client:
        proxy.fault = fault  # type: ignore[assignment]
        client.sendall(b"hello!")
        assert exactly(client, len(arrives)) == arrives
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert echo.heard == b"warmhello!"
    assert proxy.struck == 1


@pytest.mark.parametrize(
    ("fault", "arrives"), [("swallowed", b""), ("stalled", b"hel"), ("limit_silent", b"hell")]
)
def test_some_of_the_reply_and_then_nothing(
    proxy: FaultProxy, echo: Echo, fault: str, arrives: bytes
) -> None:
    proxy.limit = 4
    with connected(proxy) as client:
        proxy.fault = fault  # type: ignore[assignment]
        client.sendall(b"hello!")
        assert exactly(client, len(arrives)) == arrives
        assert is_silent(client)
    assert echo.heard == b"warmhello!"


def test_the_limit_counts_over_several_replies(proxy: FaultProxy) -> None:
    proxy.limit = 4
    with connected(proxy) as client:
        proxy.fault = "limit_reset"
        assert ask(client, b"abc", 3) == b"abc"
        client.sendall(b"def")
        assert exactly(client, 1) == b"d"
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_slices(proxy: FaultProxy) -> None:
    proxy.delay = 0.02
    with connected(proxy) as client:
        proxy.fault = "slices"
        began = time.monotonic()
        client.sendall(b"hello")
        assert [client.recv(100) for _ in range(5)] == [b"h", b"e", b"l", b"l", b"o"]
        assert time.monotonic() - began >= 4 * 0.02


def test_slow_close(proxy: FaultProxy) -> None:
    proxy.delay = 0.3
    with connected(proxy) as client:
        proxy.fault = "slow_close"
        assert ask(client, b"hello", 5) == b"hello"
        began = time.monotonic()
        client.sendall(b"bye")
        assert client.recv(1) == b""
        assert time.monotonic() - began >= 0.3


# -- besides --


@pytest.mark.parametrize("direction", ["request", "reply"])
def test_latency_delays_and_does_not_narrow(proxy: FaultProxy, direction: str) -> None:
    with connected(proxy) as client:
        setattr(proxy, f"{direction}_latency", 0.1)
        began = time.monotonic()
        for number in range(20):
            client.sendall(b"%02d" % number)
            time.sleep(0.01)  # apart, so that they are chunks
        assert exactly(client, 40) == b"".join(b"%02d" % number for number in range(20))
        assert 0.29 <= time.monotonic() - began < 1.5


def test_bandwidth(proxy: FaultProxy) -> None:
    with connected(proxy) as client:
        proxy.bandwidth = 100_000
        began = time.monotonic()
        assert ask(client, bytes(20_000), 20_000) == bytes(20_000)
        assert time.monotonic() - began >= 0.2


def test_only_what_matches_and_only_so_often(proxy: FaultProxy, echo: Echo) -> None:
    with connected(proxy) as client:
        proxy.matching, proxy.times = b"SET", 1
        proxy.fault = "swallowed"
        assert ask(client, b"GET a", 5) == b"GET a"
        client.sendall(b"SET a")
        assert is_silent(client)
        assert proxy.struck == 1
        assert proxy.fault == ""
        assert ask(client, b"SET b", 5) == b"SET b"
    assert echo.heard == b"warmGET aSET aSET b"


def test_cutting_and_a_server_that_is_not_there(proxy: FaultProxy, echo: Echo) -> None:
    with connected(proxy) as client:
        proxy.cut()
        assert proxy.open == 0
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        until(lambda: echo.ended == 1)
    echo.close()
    with (
        pytest.raises(ConnectionError),
        connected(proxy, warm=False) as client,
    ):
        ask(client, b"hello", 5)


def test_a_black_hole_completes_no_connection() -> None:
    with black_hole() as address, pytest.raises(TimeoutError):
        socket.create_connection(address, timeout=QUIET)
