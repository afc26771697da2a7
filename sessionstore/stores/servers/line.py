"""One event loop's connection to a server, shared by all of its tasks.

The deadline is on the waiter, not on the read. A channel on which a reply is overdue is retired:
it takes no new commands, and is closed when the last of its waiters has gone.
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

    async def ask(self, channel: C, parts: tuple[Any, ...], until: float) -> Any:
        """Send commands between which nothing comes, and wait for the reply, or their list.

        :raises Failure: one of them has none
        """
        before = [channel.send(part) for part in parts[:-1]]
        future = channel.send(parts[-1])
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
                self.retire_one(channel)
            channel.left()
            failure = unavailable("no reply in time", self._node, lost=True)
            failure.received = received
            raise failure from None
        except asyncio.CancelledError:
            channel.left()
            raise

    def retire(self) -> None:
        """Use another connection from now on."""
        if self._channel is not None:
            self.retire_one(self._channel)

    def retire_one(self, channel: C) -> None:
        """Do not use this one any more."""
        if channel is self._channel:
            self._channel = None
            self._retired = {old for old in self._retired if not old.is_closed()}
            self._retired.add(channel)
        channel.retire()

    def discard(self, channel: C) -> None:
        """Close one that was never used."""
        self._retired.add(channel)
        channel.close()

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


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
