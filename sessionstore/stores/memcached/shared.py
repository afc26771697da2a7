"""The asyncio transport: one connection per event loop, shared by all of its tasks.

The deadline is on the waiter, not on the read. A channel on which a reply is overdue is retired:
it takes no new requests, and is closed when the last of its waiters has gone.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextvars import Context
from typing import Any

from sessionstore.core.flow import Command, arun
from sessionstore.stores.attempts import ATTEMPT_SHARE, Attempts, Failure, unavailable
from sessionstore.stores.credentials import Credential
from sessionstore.stores.dialing import connecting_failed
from sessionstore.stores.lifetime import PerLoop
from sessionstore.stores.memcached.channel import Channel
from sessionstore.stores.memcached.conversation import check_size
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.failures import from_reply
from sessionstore.stores.memcached.login import before_the_command
from sessionstore.stores.memcached.messages import ERRORS, Reply, Request


class Line:
    """One event loop's way to the server: a channel, and those that are on their way out."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self._endpoint = endpoint
        self._limit = timeout * ATTEMPT_SHARE
        self._channel: Channel | None = None
        self._connecting: asyncio.Task[Channel | Failure] | None = None
        self._retired: set[Channel] = set()
        self._closed = False

    async def exchange(self, request: Request, until: float) -> Reply:
        """Send one request and wait for its reply, which may be an error.

        :raises SessionTooLarge: it was not sent
        :raises Failure: it could not be sent, or no reply came
        """
        channel = self._channel
        if channel is None or not channel.usable:
            channel = await self._connect(until)
        check_size(request, channel.item_size)
        await channel.writable(until)
        if not channel.usable:
            raise unavailable("the connection was lost", self._endpoint.node)
        try:
            return await channel.ask(request, until)
        except Failure:
            # A little less, because the attempt began a little before the request was sent.
            if channel.overdue(self._limit * 0.9):
                self._retire(channel)
            channel.left()
            raise
        except asyncio.CancelledError:
            channel.left()
            raise

    def retire(self) -> None:
        """Use another connection from now on."""
        if self._channel is not None:
            self._retire(self._channel)

    def _retire(self, channel: Channel) -> None:
        if channel is self._channel:
            self._channel = None
            self._retired = {old for old in self._retired if not old.is_closed()}
            self._retired.add(channel)
        channel.retire()

    async def _connect(self, until: float) -> Channel:
        if self._closed:
            # Nobody would close what is opened now.
            raise unavailable("the store was closed", self._endpoint.node)
        # All who need the connection wait for one attempt, and none of them can cancel it.
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(
                self._open(), name="sessionstore-connect", context=Context()
            )
        task = self._connecting
        await asyncio.wait({task}, timeout=max(until - time.monotonic(), 0))
        if not task.done():
            raise unavailable("timed out while connecting", self._endpoint.node)
        if task.cancelled():
            raise unavailable("the store was closed", self._endpoint.node)
        result = task.result()
        if isinstance(result, Failure):
            raise result.again(lost=False)
        return result

    async def _open(self) -> Channel | Failure:
        until = time.monotonic() + self._limit
        try:
            async with asyncio.timeout(self._limit):
                self._channel = channel = await self._log_in(until)
        except TimeoutError:
            return unavailable("timed out while connecting", self._endpoint.node)
        except Failure as failure:
            return failure
        finally:
            self._connecting = None
        return channel

    async def _log_in(self, until: float) -> Channel:
        credentials, node = self._endpoint.credentials, self._endpoint.node
        if credentials is None:
            return await self._greeted(None, until)
        credential = await credentials.aask(until, node)
        try:
            return await self._greeted(credential, until)
        except Failure as failure:
            if not failure.login:
                raise
            # It may have been exchanged between the asking and the telling.
            refused, credential = credential, await credentials.aask(until, node)
            if credential == refused:
                raise
        return await self._greeted(credential, until)

    async def _greeted(self, credential: Credential | None, until: float) -> Channel:
        channel = await self._dial()

        async def execute(command: Command[Any]) -> Reply:
            return await channel.ask(command.request, until)

        try:
            channel.item_size = await arun(self._endpoint.greet(credential).flow(), execute)
        except BaseException as error:
            channel.close()
            if isinstance(error, Failure):
                raise before_the_command(error, first=not channel.heard) from None
            raise
        return channel

    async def _dial(self) -> Channel:
        endpoint, loop = self._endpoint, asyncio.get_running_loop()

        def protocol() -> Channel:
            return Channel(endpoint.converse(), endpoint.node)

        try:
            if endpoint.path:
                return (await loop.create_unix_connection(protocol, endpoint.path))[1]
            host, port, context = endpoint.host, endpoint.port, endpoint.ssl_context
            return (await loop.create_connection(protocol, host, port, ssl=context))[1]
        except TimeoutError:
            raise
        except OSError as error:
            raise connecting_failed(error, endpoint.node) from error

    async def aclose(self) -> None:
        """Close everything, in this loop, for good."""
        self._closed = True
        channels = {*self._retired, *({self._channel} if self._channel else ())}
        self._channel, self._retired = None, set()
        task, self._connecting = self._connecting, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        for channel in channels:
            channel.close()
        for channel in channels:
            await channel.wait_closed()

    def abandon(self) -> None:
        """See :class:`sessionstore.stores.lifetime.LoopBound`."""
        for channel in (*self._retired, *((self._channel,) if self._channel else ())):
            channel.abandon()


class SharedTransport:
    """Carries commands by one line per event loop.

    :param timeout: the store's, in seconds: an attempt gets a share of it
    """

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self._node = endpoint.node
        self._limit = timeout * ATTEMPT_SHARE
        self._lines = PerLoop(lambda: Line(endpoint, timeout))

    async def execute(self, command: Command[Any], deadline: float) -> Reply:
        """See :meth:`sessionstore.stores.base.Store.aexecute`."""
        attempts = Attempts(deadline, self._limit, write=command.write, node=self._node)
        while True:
            until = attempts.start(time.monotonic())
            # Each time, because the one before may have been closed meanwhile.
            line = self._lines.get()
            try:
                reply = await line.exchange(command.request, until)
                if reply.outcome not in ERRORS:
                    return reply
                failure = from_reply(reply, self._node)
                if failure.broken:
                    line.retire()
            except Failure as error:
                failure = error
            pause = attempts.failed(failure, time.monotonic(), random.random())  # noqa: S311
            await asyncio.sleep(pause)

    async def aclose(self) -> None:
        """Close the running loop's connection; the transport may be used again."""
        await self._lines.aclose()

    def sweep(self) -> None:
        """Release the sockets of loops that are closed."""
        self._lines.sweep()
