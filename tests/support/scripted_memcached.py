"""A server that speaks either of Memcached's protocols and says what a test wants it to say."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from struct import Struct
from types import TracebackType
from typing import NamedTuple, Self

HEADER = Struct("!BBHBBHIIQ")
OPCODES = {
    0x00: "get",
    0x02: "add",
    0x03: "replace",
    0x04: "delete",
    0x0A: "noop",
    0x0B: "version",
    0x10: "stats",
    0x20: "mechanisms",
    0x21: "auth",
    0x22: "step",
    0x60: "config",
}
WORDS = {
    b"mg": "get",
    b"md": "delete",
    b"mn": "noop",
    b"version": "version",
    b"stats": "stats",
    b"config": "config",
}


class Asked(NamedTuple):
    """One request, in the words of both protocols."""

    name: str
    key: bytes = b""
    value: bytes = b""
    opaque: int = 0
    cas: int = 0
    expiry: int = 0


Answer = Callable[[Asked], bytes | None]


class ScriptedMemcached:
    """Answers every request with ``answer(asked)``; None closes the connection, b"" is silence.

    What is said first is answered by itself: ``answer`` gets it only with ``greeting=False``.
    ``requests`` has what ``answer`` got, in order; ``said`` has every byte that arrived.
    """

    def __init__(
        self,
        protocol: str,
        answer: Answer | bytes,
        *,
        greeting: bool = True,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.protocol = protocol
        self.answer: Answer = answer if callable(answer) else lambda asked: answer
        self.greeting = greeting
        self.requests: list[Asked] = []
        self.said = b""
        self.connections = 0
        self.port = port
        self._tls = tls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def url(self, login: str = "") -> str:
        """For ``open_store``; more options may follow."""
        at = f"{login}@" if login else ""
        return f"memcached://{at}127.0.0.1:{self.port}?protocol={self.protocol}"

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._client, "127.0.0.1", self.port, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        read = self._read_packet if self.protocol == "binary" else self._read_line
        try:
            while True:
                asked = await read(reader)
                answer = self._greet(asked) if self.greeting else None
                if answer is None:
                    self.requests.append(asked)
                    answer = self.answer(asked)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _exactly(self, reader: asyncio.StreamReader, size: int) -> bytes:
        data = await reader.readexactly(size)
        self.said += data
        return data

    async def _read_packet(self, reader: asyncio.StreamReader) -> Asked:
        header = HEADER.unpack(await self._exactly(reader, HEADER.size))
        _, opcode, key_size, extras_size, _, _, size, opaque, cas = header
        body = await self._exactly(reader, size)
        begin = extras_size + key_size
        expiry = int.from_bytes(body[4:8], "big") if extras_size == 8 else 0
        key, value = body[extras_size:begin], body[begin:]
        return Asked(OPCODES[opcode], key, value, opaque, cas, expiry)

    async def _read_line(self, reader: asyncio.StreamReader) -> Asked:
        line = await reader.readuntil(b"\r\n")
        self.said += line
        word, *rest = line.split()
        if word == b"set":
            return Asked("auth", rest[0], (await self._exactly(reader, int(rest[3]) + 2))[:-2])
        flags = {flag[:1]: flag[1:] for flag in rest[1:]}
        opaque, cas = int(flags.get(b"O") or 0), int(flags.get(b"C") or 0)
        key = rest[0] if rest else b""
        if word == b"ms":
            value = (await self._exactly(reader, int(rest[1]) + 2))[:-2]
            name = "add" if flags[b"M"] == b"E" else "replace"
            return Asked(name, key, value, opaque, cas, int(flags[b"T"]))
        return Asked(WORDS[word], key, b"", opaque, cas)

    def _greet(self, asked: Asked) -> bytes | None:
        if asked.name == "noop":
            return self.said_yes(asked)
        if asked.name == "stats" or (asked.name == "get" and asked.key.startswith(b"sessionstore")):
            return self.stats(asked) if asked.name == "stats" else b"EN\r\n"
        return None

    # -- replies --

    def packet(
        self, asked: Asked, status: int, value: bytes = b"", cas: int = 0, key: bytes = b""
    ) -> bytes:
        """A reply of the binary protocol."""
        opcode = next(number for number, name in OPCODES.items() if name == asked.name)
        extras = bytes(4) if asked.name in {"get", "config"} and not status else b""
        size = len(extras) + len(key) + len(value)
        header = (0x81, opcode, len(key), len(extras), 0, status, size, asked.opaque, cas)
        return HEADER.pack(*header) + extras + key + value

    def hit(self, asked: Asked, value: bytes, cas: int = 1) -> bytes:
        """To get: there it is."""
        if self.protocol == "binary":
            return self.packet(asked, 0, value, cas)
        return b"VA %d c%d O%d\r\n%b\r\n" % (len(value), cas, asked.opaque, value)

    def miss(self, asked: Asked) -> bytes:
        """There is none."""
        if self.protocol == "binary":
            return self.packet(asked, 1, b"Not found")
        return b"%b O%d\r\n" % (b"EN" if asked.name == "get" else b"NF", asked.opaque)

    def stored(self, asked: Asked, cas: int = 1) -> bytes:
        """To add, replace and delete: done."""
        if self.protocol == "binary":
            return self.packet(asked, 0, cas=cas)
        return b"HD c%d O%d\r\n" % (cas, asked.opaque)

    def exists(self, asked: Asked) -> bytes:
        """There is another one."""
        if self.protocol == "binary":
            return self.packet(asked, 2, b"Data exists for key.")
        return b"%b c0 O%d\r\n" % (b"NS" if asked.name == "add" else b"EX", asked.opaque)

    def said_yes(self, asked: Asked) -> bytes:
        """To noop, auth and step."""
        if self.protocol == "binary":
            return self.packet(asked, 0)
        return b"MN\r\n" if asked.name == "noop" else b"STORED\r\n"

    def stats(self, asked: Asked, **stats: str) -> bytes:
        """To stats."""
        if self.protocol == "binary":
            pairs = [(key.encode(), value.encode()) for key, value in stats.items()]
            return b"".join(
                self.packet(asked, 0, value, key=key) for key, value in [*pairs, (b"", b"")]
            )
        lines = [f"STAT {key} {value}\r\n" for key, value in stats.items()]
        return "".join([*lines, "END\r\n"]).encode()

    def unauthenticated(self, asked: Asked) -> bytes:
        """Log in first; or, to auth: no."""
        if self.protocol == "binary":
            return self.packet(asked, 0x20, b"Auth failure.")
        words = b"authentication failure" if asked.name == "auth" else b"unauthenticated"
        return b"CLIENT_ERROR %b\r\n" % words
