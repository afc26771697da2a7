"""A server that speaks RESP and says what a test wants it to say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import hiredis

Answer = Callable[[list[bytes]], bytes | None]


class ScriptedRedis:
    """Answers every command with ``answer(command)``; None closes the connection, b"" is silence.

    ``commands`` lists what came, in order; ``connections`` counts those that ever were, ``open``
    those that are.
    """

    def __init__(self, answer: Answer | bytes, port: int = 0) -> None:
        self.answer: Answer = answer if callable(answer) else lambda command: answer
        self.commands: list[list[bytes]] = []
        self.port = port
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self.connections = 0
        self.open = 0
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

    @property
    def url(self) -> str:
        """For ``open_store``, without a query."""
        return f"redis://127.0.0.1:{self.port}"

    def say(self, data: bytes) -> None:
        """To all clients, unasked."""
        self._loop.call_soon_threadsafe(self._say, data)

    def _say(self, data: bytes) -> None:
        for writer in self._clients:
            writer.write(data)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        # Whoever is just being accepted needs some ticks to get here; nobody else closes them.
        for _ in range(10):
            await asyncio.sleep(0)
        for writer in self._clients:
            writer.transport.abort()
        await asyncio.gather(*self._clients.values())

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._clients[writer] = asyncio.ensure_future(self._client(reader, writer))

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader(notEnoughData=Ellipsis)
        try:
            while data := await reader.read(65536):
                parser.feed(data)
                while (command := parser.gets()) is not Ellipsis:
                    self.commands.append(command)
                    answer = self.answer(command)
                    if answer is None:
                        return
                    writer.write(answer)
                    await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            del self._clients[writer]
            writer.close()
