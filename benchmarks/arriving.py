"""Requests that arrive at a fixed rate, whatever becomes of those before them (an open loop).

A user who waits does not keep others from coming. So each request's time counts from when it was
due, not from when there was a free connection: a stall counts for all who came during it (what
Gil Tene calls coordinated omission is leaving them out).
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import Final

from benchmarks.serving import Served

IDLE: Final = 1.0
"""Seconds after which a connection is not used again: gunicorn closes them after two."""
PATIENCE: Final = 30.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Visitors:
    """Users of one site, each request by the next of them."""

    def __init__(self, site: Served, kind: str) -> None:
        self._port = site.port
        self._requests = [
            f"GET /{kind} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode()
            for cookie in site.cookies
        ]
        self._idle: deque[tuple[float, Streams]] = deque()

    async def come(self, rate: float, seconds: float) -> list[float]:
        """Microseconds of each request, from when it was due until it was answered."""
        start = perf_counter() + 0.05
        tasks = []
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            tasks.append(asyncio.create_task(self._ask(number, due)))
        try:
            async with asyncio.timeout(PATIENCE):
                return list(await asyncio.gather(*tasks))
        finally:
            for _, (_, writer) in self._idle:
                writer.close()

    async def _ask(self, number: int, due: float) -> float:
        reader, writer = await self._connection()
        writer.write(self._requests[number % len(self._requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await _read_body(reader, head.lower())
        now = perf_counter()
        self._idle.append((now, (reader, writer)))
        return (now - due) * 1e6

    async def _connection(self) -> Streams:
        while self._idle:
            since, streams = self._idle.pop()
            if perf_counter() - since < IDLE:
                return streams
            streams[1].close()
        return await asyncio.open_connection("127.0.0.1", self._port)


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            await reader.readexactly(int(value))
            return
    # Django leaves the length to its server, which sends chunks.
    assert b"\r\ntransfer-encoding: chunked\r\n" in head, head
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
    await reader.readline()
