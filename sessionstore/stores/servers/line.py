"""One event loop's connection to a server, shared by all of its tasks.

A channel on which a reply is overdue retires: it takes no new commands, and is closed when the last
of its waiters has gone.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, Generic, TypeVar

from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.servers.channel import Channel

C = TypeVar("C", bound=Channel)


class Line(ABC, Generic[C]):
    """The way to a server: a channel, and those that are on their way out.

    :param node: for messages
    :param limit: seconds that an attempt may take, connecting included
    """

    def __init__(self, node: str, limit: float) -> None:
        self._node = node
        self._limit = limit
        self._channel: C | None = None
        self._connecting: asyncio.Task[C | Failure] | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._retired: set[C] = set()
        self._closed = False

    @abstractmethod
    async def open(self, until: float) -> C:
        """A new channel, logged in.

        :raises Failure: that failed
        """

    @abstractmethod
    async def settle(self, channel: C, parts: tuple[Any, ...], reply: Any, until: float) -> Any:
        """After a reply that is an error: see whether the channel is of any use, and whether the
        commands may be sent once more.

        :returns: the reply, or that to the second attempt
        """

    async def ready(self, until: float) -> C:
        """A channel that takes commands.

        :raises Failure: until then there was none
        """
        channel = self._channel
        if channel is None or not channel.usable:
            channel = await self._connect(until)
        await channel.writable(until)
        if not channel.usable:
            raise unavailable("the connection was lost", self._node)
        return channel

    def free(self) -> C | None:
        """:meth:`ready`, if there is no need to wait for that."""
        channel = self._channel
        return channel if channel is not None and channel.is_free() else None

    async def ask(self, channel: C, parts: tuple[Any, ...], until: float) -> Any:
        """Send commands between which nothing comes, and wait for the reply, or their list.

        :raises Failure: one of them has none
        """
        before = [channel.send(part, until) for part in parts[:-1]]
        future = channel.send(parts[-1], until)
        received: tuple[Any, ...] = ()
        try:
            try:
                reply = await future
                # Replies come in order: when the last one is there, all are.
                return [*(each.result() for each in before), reply] if before else reply
            finally:
                received = tuple(
                    each.result() for each in before if each.done() and not each.exception()
                )
                for each in before:
                    # Whether it failed or not, the last one says it; nobody else asks.
                    each.cancel() if not each.done() else each.exception()
        except Failure as failure:
            if isinstance(failure.__cause__, TimeoutError):
                failure.received = received
            raise
        except asyncio.CancelledError:
            channel.left()
            raise

    def retire(self) -> None:
        """Use another connection from now on."""
        if self._channel is not None:
            self._channel.retire()

    def discard(self, channel: C) -> None:
        """Close one that was never used."""
        self._set_aside(channel)
        channel.close()

    def _set_aside(self, channel: C) -> None:
        self._retired = {old for old in self._retired if not old.is_closed()}
        self._retired.add(channel)

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

    async def _connect(self, until: float) -> C:
        if self._closed:
            # Nobody would close what is opened now.
            raise unavailable("the store was closed", self._node, silent=False)
        # All who need the connection wait for one attempt, and none of them can cancel it.
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(
                self._open(), name="sessionstore-connect", context=Context()
            )
        task = self._connecting
        await asyncio.wait({task}, timeout=max(until - time.monotonic(), 0))
        if not task.done():
            raise unavailable("timed out while connecting", self._node)
        if task.cancelled():
            raise unavailable("the store was closed", self._node, silent=False)
        result = task.result()
        if isinstance(result, Failure):
            raise result.again(lost=False)
        return result

    async def _open(self) -> C | Failure:
        try:
            async with asyncio.timeout(self._limit):
                channel = await self.open(time.monotonic() + self._limit)
        except TimeoutError:
            return unavailable("timed out while connecting", self._node)
        except Failure as failure:
            return failure
        finally:
            self._connecting = None
        if self._closed:
            self.discard(channel)
            return unavailable("the store was closed", self._node, silent=False)
        if self._channel is not None and not self._channel.is_closed():
            self._set_aside(self._channel)
        # A little less, because an attempt begins a little before its command is sent.
        channel.patience = self._limit * 0.9
        self._channel = channel
        return channel

    def start(self, chore: Coroutine[Any, Any, None], name: str) -> None:
        """Have something done beside the commands; it ends with the line."""
        task = asyncio.get_running_loop().create_task(chore, name=name, context=Context())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def aclose(self) -> None:
        """Close everything, in this loop, for good."""
        self._closed = True
        channels = {*self._retired, *({self._channel} if self._channel else ())}
        self._channel, self._retired = None, set()
        tasks: set[asyncio.Task[Any]] = {*self._chores}
        if self._connecting is not None:
            tasks.add(self._connecting)
            self._connecting = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        channels |= self._retired
        for channel in channels:
            channel.close()
        for channel in channels:
            await channel.wait_closed()

    def abandon(self) -> None:
        """See :class:`sessionstore.stores.lifetime.LoopBound`."""
        for channel in (*self._retired, *((self._channel,) if self._channel else ())):
            channel.abandon()
