"""One event loop's connection to a node, shared by all of its tasks.

The deadline is on the waiter, not on the read. A channel on which a reply is overdue is retired:
it takes no new commands, and is closed when the last of its waiters has gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any

from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.credentials import Credential
from sessionstore.stores.redis.channel import Channel, Handshake
from sessionstore.stores.redis.endpoint import Endpoint, handshake_failed, pack
from sessionstore.stores.redis.failures import ReplyError
from sessionstore.stores.redis.login import auth, wants_login

Parts = Callable[[float], tuple[bytes, ...]]
"""What to send, as of now (on the clock of :func:`time.monotonic`)."""


class Line:
    """The way to a node: a channel, and those that are on their way out.

    :param limit: seconds that an attempt may take, connecting included
    """

    def __init__(self, endpoint: Endpoint, limit: float) -> None:
        self._endpoint = endpoint
        self._limit = limit
        self._channel: Channel | None = None
        self._connecting: asyncio.Task[Channel | Failure] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._retired: set[Channel] = set()
        self._closed = False

    async def exchange(self, parts: Parts, until: float) -> Any:
        """Send one command and wait for its reply, which may be a ``ReplyError``.

        :param parts: called with the time when there is a connection. Several: nothing comes
            between them, and the result is a list
        :raises Failure: it could not be sent, or no reply came
        """
        channel = await self._ready(until)
        packed = parts(time.monotonic())
        reply = await self._ask(channel, packed, until)
        if wants_login(reply) and channel.login is not None:
            # It was not executed, so it may be sent again, a write as well: by a connection that
            # asks for the credentials anew.
            self._retire(channel)
            reply = await self._ask(await self._ready(until), packed, until)
        return reply

    async def _ready(self, until: float) -> Channel:
        channel = self._channel
        if channel is None or not channel.usable:
            channel = await self._connect(until)
        await channel.writable(until)
        if not channel.usable:
            raise unavailable("the connection was lost", self._endpoint.node)
        self._stay_logged_in(channel)
        return channel

    async def _ask(self, channel: Channel, packed: tuple[bytes, ...], until: float) -> Any:
        before = [channel.send(part) for part in packed[:-1]]
        future = channel.send(packed[-1])
        timer = asyncio.get_running_loop().call_later(until - time.monotonic(), _expire, future)
        received: tuple[Any, ...] = ()
        try:
            try:
                reply = await future
                # Replies come in order: when the last one is there, all are.
                return [*(each.result() for each in before), reply] if before else reply
            finally:
                timer.cancel()
                received = tuple(
                    each.result() for each in before if each.done() and not each.exception()
                )
                for each in before:
                    # Whether it failed or not, the last one says it; nobody else asks.
                    each.cancel() if not each.done() else each.exception()
        except TimeoutError:
            # A little less, because the attempt began a little before the command was sent.
            if channel.overdue(self._limit * 0.9):
                self._retire(channel)
            channel.left()
            failure = unavailable("no reply in time", self._endpoint.node, lost=True)
            failure.received = received
            raise failure from None
        except asyncio.CancelledError:
            channel.left()
            raise

    def retire(self) -> None:
        """Use another connection from now on."""
        if self._channel is not None:
            self._retire(self._channel)

    def drop(self) -> None:
        """Close everything at once, for good; whoever waits gets a ``Failure``.

        The sockets are closed in the next ticks: whoever ends the loop waits by :meth:`aclose`.
        """
        self._closed = True
        if self._channel is not None:
            self._retired.add(self._channel)
            self._channel = None
        for channel in self._retired:
            channel.close()
        if self._connecting is not None:
            self._connecting.cancel()

    def is_gone(self) -> bool:
        """Whether nothing is left of what was dropped."""
        return self._connecting is None and all(old.is_closed() for old in self._retired)

    def _retire(self, channel: Channel) -> None:
        if channel is self._channel:
            self._channel = None
            self._retired = {old for old in self._retired if not old.is_closed()}
            self._retired.add(channel)
        channel.retire()

    async def _connect(self, until: float) -> Channel:
        if self._closed:
            # Nobody would close what is opened now.
            raise unavailable("the store was closed", self._endpoint.node, silent=False)
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
            raise unavailable("the store was closed", self._endpoint.node, silent=False)
        result = task.result()
        if isinstance(result, Failure):
            raise result.again(lost=False)
        return result

    async def _open(self) -> Channel | Failure:
        try:
            async with asyncio.timeout(self._limit):
                channel = await self._log_in(time.monotonic() + self._limit)
                await self._greet(channel, time.monotonic() + self._limit)
        except TimeoutError:
            return unavailable("timed out while connecting", self._endpoint.node)
        except Failure as failure:
            return failure
        finally:
            self._connecting = None
        if self._closed:
            channel.close()
            return unavailable("the store was closed", self._endpoint.node, silent=False)
        self._channel = channel
        return channel

    async def _greet(self, channel: Channel, until: float) -> None:
        greeting = self._endpoint.greeting
        if greeting is None:
            return
        try:
            reply = await self._ask(channel, (pack(greeting.request),), until)
            greeting.check(reply, self._endpoint.node)
        except BaseException as error:
            self._retired.add(channel)
            channel.close()
            if isinstance(error, Failure):
                raise error.again(lost=False) from error.__cause__
            raise

    async def _log_in(self, until: float) -> Channel:
        credentials, node = self._endpoint.credentials, self._endpoint.node
        if credentials is None:
            return Channel(await self._shake_hands(None), node)
        credential = await credentials.aask(until, node)
        try:
            writer = await self._shake_hands(credential)
        except Failure as failure:
            if not failure.login:
                raise
            # It may have been exchanged between the asking and the telling.
            refused, credential = credential, await credentials.aask(until, node)
            if credential == refused:
                raise
            writer = await self._shake_hands(credential)
        return Channel(writer, node, credentials.login(credential))

    async def _shake_hands(self, credential: Credential | None) -> asyncio.StreamWriter:
        connection = Handshake(self._endpoint, credential)
        try:
            await connection.connect()
            return connection.take_writer()
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - redis-py raises what it likes
            failure = connection.failure or handshake_failed(error, self._endpoint.node)
            raise failure from failure.__cause__
        finally:
            connection.drop()

    def _stay_logged_in(self, channel: Channel) -> None:
        credentials, login = self._endpoint.credentials, channel.login
        if credentials is None or login is None or self._renewing is not None:
            return
        if credentials.is_due(login, time.monotonic()):
            # Beside the commands, not before them: the old log-in is still good.
            self._renewing = asyncio.get_running_loop().create_task(
                self._renew(channel), name="sessionstore-login", context=Context()
            )

    async def _renew(self, channel: Channel) -> None:
        credentials, login = self._endpoint.credentials, channel.login
        if credentials is None or login is None:
            return
        now = time.monotonic()
        login.put_off(now)
        try:
            credential = await credentials.aask(now + self._limit, self._endpoint.node)
            if not channel.usable:
                return
            # One command among the others, with its own place in the order of the replies.
            reply = await asyncio.wait_for(channel.send(auth(credential)), self._limit)
            if not isinstance(reply, ReplyError):
                channel.login = credentials.login(credential)
        except (Failure, TimeoutError):
            pass
        finally:
            self._renewing = None

    async def aclose(self) -> None:
        """Close everything, in this loop, for good."""
        self._closed = True
        channels = {*self._retired, *({self._channel} if self._channel else ())}
        self._channel, self._retired = None, set()
        tasks = {task for task in (self._connecting, self._renewing) if task is not None}
        self._connecting = self._renewing = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for channel in channels:
            channel.close()
        for channel in channels:
            await channel.wait_closed()

    def abandon(self) -> None:
        """See :class:`sessionstore.stores.lifetime.LoopBound`."""
        for channel in (*self._retired, *((self._channel,) if self._channel else ())):
            channel.abandon()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
