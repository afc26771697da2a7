"""A lean HTTP client: the load must cost little, or it would measure itself."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.calling import COOKIE
from tests.support.sites import cookie_value

PATIENCE: Final = 10.0
"""Seconds: far more than any answer may take."""


class NoAnswer(Exception):
    """The site did not answer, or not with HTTP."""


@dataclass
class Reply:
    """A response.

    :param cookie: what it leaves in the jar: the value, "" where it deletes, None: says nothing
    """

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    cookie: str | None = None


class Site:
    """One site, and the connections to it that are kept open."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        host, _, port = url.removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str, cookie: str | None) -> Reply:
        """One request.

        :raises NoAnswer: whatever happened to it
        """
        header = f"Cookie: {COOKIE}={cookie}\r\n" if cookie else ""
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode()
        writer = None
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = self._kept() or await asyncio.open_connection(*self._address)
                writer.write(request)
                _acknowledge_at_once(writer)
                reply, keep = await _read(reader)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            if writer is not None:
                writer.close()
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        if keep:
            self._idle.append((reader, writer))
        else:
            writer.close()
        return reply

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """An open connection, unless the site has closed them all: a worker may have ended."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def close(self) -> None:
        """Close the connections that no request is on."""
        idle, self._idle = self._idle, []
        for _, writer in idle:
            writer.close()
            with suppress(OSError):  # a worker that was killed has reset it
                await writer.wait_closed()


def _acknowledge_at_once(writer: asyncio.StreamWriter) -> None:
    """Workers of uvicorn's send head and body apart and without TCP_NODELAY: the body would wait
    40 ms for the head's acknowledgement (Linux)."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


async def _read(reader: asyncio.StreamReader) -> tuple[Reply, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    reply = Reply(int(head[0].split(" ", 2)[1]))
    length, keep, body = None, True, b""
    for line in head[1:]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if name == "content-length":
            length = int(value)
        elif name == "connection":
            keep = value.lower() != "close"
        elif name == "set-cookie" and value.startswith(f"{COOKIE}="):
            reply.cookie = cookie_value(value) or ""
        elif name == "transfer-encoding":
            body = await _chunks(reader)
            length = 0
    if length is None:
        raise ValueError("a response without a length")
    if length:
        body = await reader.readexactly(length)
    if reply.status in {200, 401}:
        reply.body = json.loads(body)
    return reply, keep


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """uvicorn sends what has no Content-Length in chunks (RFC 9112, section 7.1)."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body
