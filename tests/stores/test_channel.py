"""Many deadlines on one asyncio connection, and one timer for all of them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sessionstore.stores.attempts import Failure
from sessionstore.stores.servers.channel import Channel


class Lettered(Channel):
    """A protocol in which each reply is one byte."""

    def send(self, part: bytes, until: float) -> asyncio.Future[Any]:
        return self._send(part, until)

    def is_answer(self, reply: Any) -> bool:
        return True

    def replies(self, data: bytes) -> Iterator[str]:
        yield from data.decode()


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Lettered, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_connection(lambda: Lettered("a:1"), sock=ours)
        yield channel, theirs
        channel.close()
        await channel.wait_closed()


def soon(seconds: float = 10) -> float:
    return time.monotonic() + seconds


async def test_each_ends_by_its_own_deadline(ends: tuple[Lettered, socket.socket]) -> None:
    channel, server = ends
    began = time.monotonic()
    patient = channel.send(b"a", soon())
    hasty = [channel.send(b"b", soon(seconds)) for seconds in (0.06, 0.02, 0.04)]
    took: list[float] = []
    for future in (hasty[1], hasty[2], hasty[0]):
        with pytest.raises(Failure, match="no reply in time") as raised:
            await future
        took.append(time.monotonic() - began)
        assert raised.value.lost
    assert took[0] >= 0.02 and took[1] >= 0.04 and 0.06 <= took[2] < 5
    # Their places in the order are still theirs.
    late = channel.send(b"c", soon())
    server.sendall(b"pxyzl")
    assert (await patient, await late) == ("p", "l")


async def test_there_is_one_timer_for_all(
    ends: tuple[Lettered, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, server = ends
    made: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def counted(delay: float, *arguments: Any, **others: Any) -> asyncio.TimerHandle:
        made.append(delay)
        return call_later(delay, *arguments, **others)

    monkeypatch.setattr(loop, "call_later", counted)
    for _ in range(50):
        future = channel.send(b"a", soon())
        server.sendall(b"r")
        assert await future == "r"
    assert len(made) == 1


async def test_the_timer_goes_with_the_connection(ends: tuple[Lettered, socket.socket]) -> None:
    channel, server = ends
    future = channel.send(b"a", soon(3600))
    server.close()
    with pytest.raises(Failure, match="connection"):
        await future
    loop: Any = asyncio.get_running_loop()
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []


async def test_a_connection_that_is_too_slow_takes_no_more(
    ends: tuple[Lettered, socket.socket],
) -> None:
    channel, _ = ends
    channel.patience = 0.02
    with pytest.raises(Failure):
        await channel.send(b"a", soon(0.03))
    assert not channel.is_free()
    await channel.wait_closed()


async def test_one_impatient_caller_is_no_reason(ends: tuple[Lettered, socket.socket]) -> None:
    channel, _ = ends
    channel.patience = 10
    with pytest.raises(Failure):
        await channel.send(b"a", soon(0.01))
    assert channel.is_free()


async def test_a_connection_that_is_silent_retires_also_where_nobody_waits_to_the_end(
    ends: tuple[Lettered, socket.socket],
) -> None:
    """As where the application has timeouts of its own, shorter than the store's."""
    channel, _ = ends
    channel.patience = 0.02
    for _ in range(3):
        future = channel.send(b"a", soon(0.03))
        future.cancel()
        channel.left()
        assert channel.usable
    deadline = soon()
    while channel.usable:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    assert channel.is_closed() or channel._transport.is_closing()


async def test_what_was_answered_in_time_retires_nobody(
    ends: tuple[Lettered, socket.socket],
) -> None:
    channel, server = ends
    channel.patience = 0.02
    until = soon(0.3)  # when the timer looks, and there is nobody
    future = channel.send(b"a", until)
    server.sendall(b"r")
    assert await future == "r"
    await asyncio.sleep(until + 0.02 - time.monotonic())
    assert channel.usable
