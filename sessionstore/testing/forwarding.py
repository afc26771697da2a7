"""What becomes of the bytes of one connection through a :class:`FaultProxy`."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from math import inf
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

CHUNK: Final = 65536
BACKLOG: Final = 1 << 20
"""Bytes on their way in one direction beyond which no more is read."""
CONNECT_SECONDS: Final = 5.0

Fault: TypeAlias = Literal[
    "",
    "reset",
    "silent",
    "full",
    "black_hole",
    "half_open",
    "error_instead",
    "lost",
    "swallowed",
    "half",
    "stalled",
    "limit_reset",
    "limit_silent",
    "slices",
    "error_after",
    "slow_close",
]
ON_REQUESTS: Final = frozenset({"reset", "silent", "error_instead"})
ON_REPLIES: Final = frozenset(
    ("lost", "swallowed", "half", "stalled", "limit_reset", "limit_silent", "slices", "error_after")
)


class Conditions:
    """What a proxy does to its connections now. :class:`FaultProxy` explains each."""

    def __init__(self) -> None:
        self._fault: Fault = ""
        self._lock = threading.Lock()
        self.delay = 0.0
        self.limit = 0
        self.error = b"-ERR injected\r\n"
        self.request_latency = 0.0
        self.reply_latency = 0.0
        self.bandwidth = 0.0
        self.matching = b""
        self.times: int | None = None
        self.struck = 0
        self.requests: list[bytes] = []

    @property
    def fault(self) -> Fault:
        """The present fault; ``""`` for none."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        if fault not in get_args(Fault):
            raise ValueError(f"no such fault: {fault!r}")
        self._fault = fault
        self._changed()

    def _changed(self) -> None:
        """The fault is another one."""

    def strike(self, among: frozenset[str]) -> Fault:
        """The fault, if it is one of these: it strikes a chunk now, and counts."""
        with self._lock:
            fault = self._fault
            if fault not in among:
                return ""
            self.struck += 1
            if self.times is not None:
                self.times -= 1
                if self.times <= 0:
                    self.times, self._fault = None, ""
            return fault


class End(Enum):
    """How a connection ends, as an item on its way like the bytes before it."""

    CLOSE = 0
    RESET = 1


class Lane:
    """One direction: what is on its way, each item with the time at which it is due."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.ended = False
        self._items: deque[tuple[float, bytes | End]] = deque()
        self._size = 0
        self._free = 0.0

    @property
    def full(self) -> bool:
        """Whether no more should be read for now."""
        return self.ended or self._size > BACKLOG

    @property
    def due(self) -> float:
        """When the next item is due; never, if there is none."""
        return self._items[0][0] if self._items else inf

    def put(self, data: bytes, latency: float, bandwidth: float, spacing: float | None) -> None:
        """Send this after `latency` seconds, behind what is on its way.

        :param bandwidth: bytes a second; 0 for no limit
        :param spacing: byte by byte, with so many seconds between; None for as it is
        """
        due = max(time.monotonic() + latency, self._free)
        size = 1 if spacing is not None else max(1, int(bandwidth / 100)) if bandwidth else CHUNK
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            if bandwidth:
                due += len(piece) / bandwidth
            self._items.append((due, piece))
            self._size += len(piece)
            due += spacing or 0
        self._free = due

    def clear(self) -> None:
        """Forget what is on its way."""
        self._items.clear()
        self._size = 0

    def end(self, how: End, delay: float) -> None:
        """Nothing comes any more; say so after `delay` seconds."""
        self.ended = True
        self._items.append((max(time.monotonic() + delay, self._free), how))

    def send(self, now: float) -> End | None:
        """Send what is due, as much as the target takes; gives the end when that is due."""
        while self._items and self._items[0][0] <= now:
            due, item = self._items.popleft()
            if isinstance(item, End):
                return item
            try:
                sent = self.target.send(item)
            except BlockingIOError:
                sent = 0
            self._size -= sent
            if sent < len(item):
                self._items.appendleft((due, item[sent:]))
                break
        return None


class Link(threading.Thread):
    """One client's connection and the server's, with a thread of their own.

    :param done: called with the link when it has ended
    """

    def __init__(
        self,
        conditions: Conditions,
        client: socket.socket,
        upstream: Path | tuple[str, int],
        done: Callable[[Link], None],
    ) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self._conditions = conditions
        self._client = client
        self._upstream = upstream
        self._done = done
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._cut = False
        self._half_open = False
        self._last = b""
        self._left: int | None = None

    def wake(self) -> None:
        """Have it look at the conditions now."""
        with suppress(OSError):  # it has ended, or is about to look anyway
            self._waker.send(b"x")

    def cut(self) -> None:
        """Reset both ends."""
        self._cut = True
        self.wake()

    def run(self) -> None:
        try:
            self._server = connect(self._upstream)
        except OSError:
            reset(self._client)  # the nearest to refusing what has been accepted
        else:
            self._forward()
        self._waker.close()
        self._woken.close()
        self._done(self)
        self.ended.set()

    def _forward(self) -> None:
        for sock in (self._client, self._server):
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = Lane(self._client, self._server)
        self._replies = Lane(self._server, self._client)
        try:
            while self._step():
                pass
        except OSError:
            self._reset()  # as one end has done
        self._client.close()
        self._server.close()

    def _reset(self) -> None:
        reset(self._client)
        reset(self._server)

    def _step(self) -> bool:
        """Wait for something to happen and do it; False when the connection has ended."""
        fault = self._conditions.fault
        if fault == "half_open" and not self._half_open:
            self._half_open = True
            self._server.close()
            self._requests.clear()
            self._replies.ended = True
        lanes = [] if fault == "black_hole" else [self._requests, self._replies]
        now = time.monotonic()
        readers = [lane.source for lane in lanes if self._may_read(lane, fault)]
        writers = [lane.target for lane in lanes if lane.due <= now]
        wait = min((lane.due - now for lane in lanes if lane.due > now), default=inf)
        ready, writable, _ = select.select(
            [self._woken, *readers], writers, [], None if wait == inf else wait
        )
        if self._cut:
            self._reset()
            return False
        if self._woken in ready:
            self._woken.recv(CHUNK)
            return True  # nothing is read under conditions that have just changed
        for lane in lanes:
            if lane.source in ready and not self._read(lane):
                return False
            if lane.target in writable and not self._write(lane):
                return False
        return True

    def _may_read(self, lane: Lane, fault: Fault) -> bool:
        return not lane.full and not (fault == "full" and lane is self._requests)

    def _read(self, lane: Lane) -> bool:
        data = lane.source.recv(CHUNK)
        if not data:
            if self._half_open:
                return False
            slow = self._conditions.fault == "slow_close"
            lane.end(End.CLOSE, self._conditions.delay if slow else 0)
            return True
        return self._request(data) if lane is self._requests else self._reply(data)

    def _write(self, lane: Lane) -> bool:
        end = lane.send(time.monotonic())
        if end is End.RESET:
            reset(lane.target)
        return end is None

    def _request(self, data: bytes) -> bool:
        now = self._conditions
        now.requests.append(data)
        self._last = data
        if self._half_open:
            return True
        fault = now.strike(ON_REQUESTS) if now.matching in data else ""
        match fault:
            case "reset":
                reset(self._client)
                return False
            case "silent":
                pass
            case "error_instead":
                self._answer(now.error)
            case _:
                self._requests.put(data, now.request_latency, now.bandwidth, None)
        return True

    def _reply(self, data: bytes) -> bool:
        now = self._conditions
        fault = now.strike(ON_REPLIES) if now.matching in self._last else ""
        if not fault.startswith("limit"):
            self._left = None
        match fault:
            case "lost":
                reset(self._client)
                return False
            case "swallowed":
                pass
            case "half" | "stalled":
                self._answer(data[: len(data) // 2])
            case "limit_reset" | "limit_silent":
                left = now.limit if self._left is None else self._left
                self._answer(data[:left])
                self._left = max(0, left - len(data))
            case "slices":
                self._answer(data, now.delay)
            case "error_after":
                self._answer(now.error)
            case _:
                self._answer(data)
        if fault == "half" or (fault == "limit_reset" and self._left == 0):
            self._replies.end(End.RESET, 0)
        return True

    def _answer(self, data: bytes, spacing: float | None = None) -> None:
        now = self._conditions
        self._replies.put(data, now.reply_latency, now.bandwidth, spacing)


def connect(upstream: Path | tuple[str, int]) -> socket.socket:
    """To the real server."""
    if not isinstance(upstream, Path):
        return socket.create_connection(upstream, CONNECT_SECONDS)
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(CONNECT_SECONDS)
    try:
        server.connect(str(upstream))
    except OSError:
        server.close()
        raise
    return server


def reset(sock: socket.socket) -> None:
    """Close with RST and not FIN."""
    with suppress(OSError):  # the other side was faster
        # Lingering for 0 seconds; tcp(7), RFC 9293 section 3.10.4 (ABORT).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
