"""One blocking connection's bytes: all of them or a typed failure, and never later than said."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from sessionstore.stores.attempts import Failure
from sessionstore.stores.wire import Wire

LARGE = bytes(range(256)) * 16 * 1024
"""4 MB: more than what the two sockets' buffers take."""


@pytest.fixture(params=["poll", "select"])
def pair(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Wire, socket.socket]]:
    """A wire, and its other end; also where the system has no ``poll`` (Windows)."""
    if request.param == "select":
        monkeypatch.delattr(select, "poll")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Wire(ours, "h:1"), theirs


def soon(seconds: float = 10) -> float:
    return time.monotonic() + seconds


def test_what_arrived_and_what_arrives(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    theirs.sendall(b"there")
    assert wire.receive(soon()) == b"there"
    later = threading.Timer(0.02, theirs.sendall, [b"later"])
    later.start()
    assert wire.receive(soon()) == b"later"
    later.join()


def test_more_than_the_buffers_take(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    received = bytearray()

    def read() -> None:
        while len(received) < len(LARGE):
            received.extend(theirs.recv(65536))

    reader = threading.Thread(target=read)
    reader.start()
    wire.send(LARGE, soon())
    reader.join(10)
    assert received == LARGE


def test_a_peer_that_reads_nothing(pair: tuple[Wire, socket.socket]) -> None:
    wire, _ = pair
    start = time.monotonic()
    with pytest.raises(Failure, match="while sending") as caught:
        wire.send(LARGE, start + 0.05)
    assert 0.05 <= time.monotonic() - start < 1
    assert not caught.value.lost  # it has not got the whole: nothing was executed


@pytest.mark.parametrize("seconds", [0.05, 0, -1])
def test_a_peer_that_says_nothing(pair: tuple[Wire, socket.socket], seconds: float) -> None:
    wire, _ = pair
    start = time.monotonic()
    with pytest.raises(Failure, match="no reply in time") as caught:
        wire.receive(start + seconds)
    assert max(seconds, 0) <= time.monotonic() - start < 1
    assert caught.value.lost
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_a_reply_that_never_ends(pair: tuple[Wire, socket.socket]) -> None:
    """What was there in time is read by a process that was held up; the rest has no time left."""
    wire, theirs = pair
    theirs.sendall(b"beginning")
    assert wire.receive(soon(-1)) == b"beginning"
    theirs.sendall(b"and on and on")
    with pytest.raises(Failure, match="no whole reply in time") as caught:
        wire.receive(soon(-1), more=True)
    assert caught.value.lost
    assert wire.receive(soon(), more=True) == b"and on and on"


class WantsToRead:
    """A socket under TLS that has something to learn before it sends on."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self.tried = 0

    def send(self, data: bytes) -> int:
        self.tried += 1
        raise ssl.SSLWantReadError

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_tls_that_wants_to_read_before_it_sends(pair: tuple[Wire, socket.socket]) -> None:
    """It waits for that, instead of for room to send, of which there is plenty."""
    wire, theirs = pair
    wire._socket = wanting = WantsToRead(wire._socket)  # type: ignore[assignment]
    start = time.monotonic()
    with pytest.raises(Failure, match="while sending"):
        wire.send(b"x", start + 0.05)
    assert time.monotonic() - start < 1
    assert wanting.tried == 1
    theirs.sendall(b"something")
    with pytest.raises(Failure, match="while sending"):
        wire.send(b"x", time.monotonic() + 0.05)


def test_a_peer_that_has_gone(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    theirs.close()
    with pytest.raises(Failure, match="closed the connection") as caught:
        wire.receive(soon())
    assert caught.value.lost
    with pytest.raises(Failure, match="while sending") as caught:
        wire.send(b"x", soon())
    assert not caught.value.lost


def test_silence(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    assert wire.is_silent()
    theirs.sendall(b"unasked")
    assert wire.is_silent() == (not hasattr(select, "poll"))


def test_of_several_commands_the_first_may_have_been_executed(
    pair: tuple[Wire, socket.socket],
) -> None:
    wire, theirs = pair
    with pytest.raises(Failure, match="while sending") as caught:
        wire.send(LARGE, soon(0.05), commands=2)
    assert caught.value.lost
    theirs.close()
    with pytest.raises(Failure, match="while sending") as caught:
        wire.send(b"set, wait", soon(), commands=2)
    assert not caught.value.lost  # nothing went out


def test_a_deadline_beyond_what_the_system_can_wait_for(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    later = threading.Timer(0.02, theirs.sendall, [b"later"])
    later.start()
    assert wire.receive(soon(1e9)) == b"later"
    later.join()


def test_a_peer_that_goes_on_saying_what_is_no_data(pair: tuple[Wire, socket.socket]) -> None:
    """As TLS can: new session tickets and keys, for ever."""
    wire, theirs = pair
    theirs.sendall(b"there is always something to read")

    class Talking:
        fileno = wire._socket.fileno

        def recv(self, size: int) -> bytes:
            raise ssl.SSLWantReadError

    wire._socket = Talking()  # type: ignore[assignment]
    start = time.monotonic()
    with pytest.raises(Failure, match="no reply in time"):
        wire.receive(start + 0.05)
    assert 0.05 <= time.monotonic() - start < 1
