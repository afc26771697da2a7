"""One asyncio connection, shared: commands go out in batches, replies come back in order.

Every command holds a place in the order until *its* reply has come, also when nobody waits for it
any more: a cancelled task cannot shift another's reply.
"""

from __future__ import annotations

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from typing import Any, Final

from sessionstore.stores.attempts import Failure, refused, unavailable

_HIGH_WATER: Final = 4 * 1024 * 1024
"""Bytes waiting to be sent, above which new commands wait."""


class Channel(asyncio.Protocol, ABC):
    """One connection whose replies are matched to commands by their order.

    :param node: for messages
    """

    _transport: Any

    def __init__(self, node: str) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        # Who waits, since when, and until when.
        self._waiting: deque[tuple[asyncio.Future[Any], float, float]] = deque()
        self._unsent: list[bytes] = []
        self._closed = self._loop.create_future()
        self._writable: asyncio.Future[None] | None = None
        # One timer, for the first deadline of all who wait: it costs a command a comparison, where
        # one of its own would cost about 2 us.
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self.usable = True
        self.patience = inf
        """Seconds that a reply may take until no new commands are sent."""

    @abstractmethod
    def send(self, part: Any, until: float) -> asyncio.Future[Any]:
        """Have a command sent at the end of this tick.

        :param until: on the clock of :func:`time.monotonic`
        :returns: gets the reply, or a ``Failure``, by then. Whoever cancels it calls :meth:`left`
        """

    @abstractmethod
    def is_answer(self, reply: Any) -> bool:
        """Whether it is what was asked for, and not an error."""

    @abstractmethod
    def replies(self, data: bytes) -> Iterator[Any]:
        """The replies that are whole, now that this has arrived.

        :raises Failure: what follows means nothing
        """

    def _send(self, packed: bytes, until: float) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        self._waiting.append((future, time.monotonic(), until))
        if until < self._due:
            self._look_at(until)
        return future

    def _look_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_later(due - time.monotonic(), self._expire)

    def _expire(self) -> None:
        """End the waiting of those whose deadline has passed."""
        self._timer, self._due = None, inf
        now, late, next_due = time.monotonic(), False, inf
        for future, _, until in self._waiting:
            if future.done():
                continue
            if until <= now:
                failure = unavailable("no reply in time", self._node, lost=True)
                failure.__cause__ = TimeoutError()
                future.set_exception(failure)
                late = True
            elif until < next_due:
                next_due = until
        if next_due < inf:
            self._look_at(next_due)
        # Also where nobody is late, because all of them have given up before.
        if self._waiting and now - self._waiting[0][1] >= self.patience:
            self.retire()
        elif late:
            self.left()

    def _flush(self) -> None:
        # On a transport that is closing it would vanish: then it stays unsent, and is sent anew.
        if self._unsent and not self._transport.is_closing():
            data = b"".join(self._unsent)
            self._unsent.clear()
            self._transport.write(data)

    def is_free(self) -> bool:
        """Whether a command can be handed over at once."""
        return self.usable and self._writable is None

    async def writable(self, until: float) -> None:
        """Wait while the server does not keep up.

        :raises Failure: until then
        """
        if self._writable is not None:
            remaining = max(until - time.monotonic(), 0)
            await asyncio.wait({self._writable}, timeout=remaining)
            if self._writable is not None:
                raise unavailable("the server takes no more data", self._node)

    def retire(self) -> None:
        """Take no new commands; close when nobody waits any more."""
        self.usable = False
        self._close_if_done()

    def _close_if_done(self) -> None:
        if all(future.done() for future, _, _ in self._waiting):
            self.close()

    def left(self) -> None:
        """A waiter has gone without its reply."""
        if not self.usable:
            self._close_if_done()

    def close(self) -> None:
        """Close at once; whoever waits gets a Failure."""
        self.usable = False
        self._transport.abort()

    def is_closed(self) -> bool:
        """Whether the socket is closed."""
        return self._closed.done()

    async def wait_closed(self) -> None:
        """Until the socket is closed."""
        with suppress(TimeoutError):
            # connection_lost comes in the next tick; a bound, should a loop not honour that.
            async with asyncio.timeout(1):
                await asyncio.shield(self._closed)

    def abandon(self) -> None:
        """Let go of the socket without the loop: put /dev/null in its place.

        Closing is up to the transport, which needs its loop for that; and in a forked child,
        taking the socket out of the epoll set would take it out of the parent's as well.
        """
        self.usable = False
        with suppress(OSError, ValueError):  # it was closed already
            number = self._transport.get_extra_info("socket").fileno()
            if number >= 0:
                null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
                os.dup2(null, number, inheritable=False)
                os.close(null)

    # -- asyncio.Protocol --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        waiting = self._waiting
        try:
            for reply in self.replies(data):
                if not waiting:
                    raise refused("the server sent more than the replies", self._node, lost=True)
                future = waiting.popleft()[0]
                if not future.done():
                    future.set_result(reply)
        except Failure as failure:
            self._fail(failure)
            self.close()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self.resume_writing()
        if not self._closed.done():
            self._closed.set_result(None)
        why = "the server closed the connection" if exc is None else "the connection was lost"
        self._fail(unavailable(why, self._node, lost=True))

    def _fail(self, failure: Failure) -> None:
        """Fail all who wait. The last ``len(_unsent)`` of them were not sent."""
        sent = len(self._waiting) - len(self._unsent)
        for place, (future, _, _) in enumerate(self._waiting):
            if not future.done():
                lost = failure.lost and place < sent
                future.set_exception(failure.again(lost=lost))
        self._waiting.clear()
        self._unsent.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._due = None, inf
