"""A blocking connection's bytes: by their deadlines, whatever the other end does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sessionstore.stores.attempts import Failure
from sessionstore.stores.wire import Wire

MUCH = bytes(4_000_000)
"""More than the system takes at once."""


@pytest.fixture
def ends() -> Iterator[tuple[Wire, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with ours, theirs:
        yield Wire(ours, "a:1"), theirs


def soon(seconds: float = 10) -> float:
    return time.monotonic() + seconds


def test_all_is_sent_however_slowly_it_is_taken(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    taken = bytearray()

    def take() -> None:
        while len(taken) < len(MUCH):
            taken.extend(peer.recv(50_000))

    thread = threading.Thread(target=take)
    thread.start()
    wire.send(MUCH, soon())
    thread.join(10)
    assert taken == MUCH


def test_what_nobody_takes_was_not_sent(ends: tuple[Wire, socket.socket]) -> None:
    wire, _ = ends
    began = time.monotonic()
    with pytest.raises(Failure, match="while sending") as raised:
        wire.send(MUCH, soon(0.05))
    assert 0.05 <= time.monotonic() - began < 5
    assert not raised.value.lost


def test_a_reply_that_is_there_is_not_waited_for(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    assert wire.is_silent()
    peer.sendall(b"+OK")
    assert not wire.is_silent()
    assert wire.receive(time.monotonic() - 1) == b"+OK"
    assert wire.is_silent()


def test_a_reply_is_waited_for_until_the_deadline(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    began = time.monotonic()
    with pytest.raises(Failure, match="no reply in time") as raised:
        wire.receive(soon(0.05))
    assert 0.05 <= time.monotonic() - began < 5
    assert raised.value.lost
    assert isinstance(raised.value.__cause__, TimeoutError)
    timer = threading.Timer(0.02, peer.sendall, [b"late"])
    timer.start()
    assert wire.receive(soon()) == b"late"
    timer.join()


def test_a_connection_that_was_closed(ends: tuple[Wire, socket.socket]) -> None:
    wire, peer = ends
    peer.close()
    assert not wire.is_silent()
    with pytest.raises(Failure, match="closed the connection"):
        wire.receive(soon())
    with pytest.raises(Failure, match="while sending"):
        wire.send(b"GET", soon())


def test_where_there_is_no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("select.poll")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(ours, "a:1")
        assert wire.is_silent()
        with pytest.raises(Failure, match="no reply in time"):
            wire.receive(soon(0.02))
        with pytest.raises(Failure, match="while sending"):
            wire.send(MUCH, soon(0.02))
        theirs.sendall(b"+OK")
        assert wire.receive(soon()) == b"+OK"
