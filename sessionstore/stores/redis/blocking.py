"""The sync transport: a bounded pool of connections that are driven directly.

redis-py connects and logs in; after that, a command is one ``sendall`` and the reply one ``recv``
on the socket (docs/performance.md: redis-py's own command layer costs about as much as the round
trip).

A connection is back in the pool only after exactly one whole reply to exactly one whole command.
Whatever else happens (a timeout, KeyboardInterrupt, gevent killing the greenlet), it is closed,
so that no command ever gets another's reply.
"""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from typing import Any, cast

from redis.connection import AbstractConnection

from sessionstore.core.flow import Command
from sessionstore.stores.attempts import ATTEMPT_SHARE, Attempts, Failure, refused, unavailable
from sessionstore.stores.credentials import Credential, Login
from sessionstore.stores.lifetime import forget_after_fork
from sessionstore.stores.redis.dialing import Bounded, dial
from sessionstore.stores.redis.endpoint import (
    NOTHING_YET,
    Endpoint,
    handshake_failed,
    make_reader,
    pack,
    take_reply,
)
from sessionstore.stores.redis.failures import ReplyError, from_reply
from sessionstore.stores.redis.login import auth, wants_login

_BUFFER = 16384


# Untyped, because redis-py's annotations change from release to release.
_Base: Any = AbstractConnection


class _Handshake(_Base):  # type: ignore[misc]
    """redis-py's connection: AUTH and SELECT, on a socket that we opened."""

    host = ""
    port = 0

    def __init__(self, endpoint: Endpoint, credential: Credential | None, until: float) -> None:
        self.host, self.port = endpoint.host, endpoint.port
        self._endpoint = endpoint
        self._until = until
        self.failure: Failure | None = None
        self.raw: socket.socket | None = None
        super().__init__(**endpoint.connection_options(credential))

    def _connect(self) -> Bounded:
        try:
            self.raw = dial(self._endpoint, self._until)
        except Failure as failure:
            # redis-py would turn it into an error of its own.
            self.failure = failure
            raise
        return Bounded(self.raw, self._until)

    def _host_error(self) -> str:
        return self._endpoint.node

    def repr_pieces(self) -> list[tuple[str, str]]:
        return [("node", self._endpoint.node)]


def _shake_hands(endpoint: Endpoint, credential: Credential | None, until: float) -> _Handshake:
    connection = _Handshake(endpoint, credential, until)
    try:
        connection.connect()
    except Exception as error:  # noqa: BLE001 - redis-py raises what it likes
        connection.disconnect()
        failure = connection.failure or handshake_failed(error, endpoint.node)
        raise failure from failure.__cause__
    except BaseException:
        connection.disconnect()
        raise
    return connection


def _connect(endpoint: Endpoint, until: float) -> tuple[_Handshake, Login | None]:
    credentials = endpoint.credentials
    if credentials is None:
        return _shake_hands(endpoint, None, until), None
    credential = credentials.ask_by(until, endpoint.node)
    try:
        connection = _shake_hands(endpoint, credential, until)
    except Failure as failure:
        if not failure.login:
            raise
        # It may have been exchanged between the asking and the telling.
        refused, credential = credential, credentials.ask_by(until, endpoint.node)
        if credential == refused:
            raise
        connection = _shake_hands(endpoint, credential, until)
    return connection, credentials.login(credential)


class Link:
    """One connection to the server.

    :raises Failure: connecting or logging in failed
    """

    def __init__(self, endpoint: Endpoint, until: float) -> None:
        self._node = endpoint.node
        self._credentials = endpoint.credentials
        self._connection, self._login = _connect(endpoint, until)
        self._socket = cast(socket.socket, self._connection.raw)
        self._reader = make_reader()
        self._buffer = bytearray(_BUFFER)
        # Where there is no poll (Windows), a connection that died in the pool is found by using it.
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._socket, select.POLLIN)

    def is_fresh(self) -> bool:
        """Whether the server has neither closed the connection nor said anything unasked."""
        return self._poll is None or not self._poll.poll(0)

    def exchange(self, packed: bytes, until: float) -> Any:
        """Send one command and read its reply, which may be a ``ReplyError``.

        :raises Failure: this link must be closed
        """
        sock = self._socket
        try:
            sock.settimeout(max(until - time.monotonic(), 0.0001))
            sock.sendall(packed)
        except OSError as error:
            # Not all of it went out, and Redis executes nothing before it has the whole command.
            raise unavailable("the connection was lost while sending", self._node) from error
        reader, buffer = self._reader, self._buffer
        while True:
            try:
                size = sock.recv_into(buffer)
            except TimeoutError as error:
                raise unavailable("no reply in time", self._node, lost=True) from error
            except OSError as error:
                raise unavailable("the connection was lost", self._node, lost=True) from error
            if size == 0:
                raise unavailable("the server closed the connection", self._node, lost=True)
            reader.feed(buffer, 0, size)
            reply = take_reply(reader, self._node)
            if reply is not NOTHING_YET:
                break
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise unavailable("no whole reply in time", self._node, lost=True)
            sock.settimeout(remaining)
        if reader.has_data():
            raise refused("the server sent more than the reply", self._node, lost=True)
        return reply

    def stay_logged_in(self, until: float) -> None:
        """Log in again if it is time to; if that cannot be done now, the old log-in goes on.

        :raises Failure: this link must be closed
        """
        credentials, login = self._credentials, self._login
        now = time.monotonic()
        if credentials is None or login is None or not credentials.is_due(login, now):
            return
        try:
            # Half of the time, so that enough is left for the command that this is done for.
            credential = credentials.ask_by(now + (until - now) / 2, self._node)
        except Failure:
            login.put_off(now)
            return
        if not self._log_in(credential, until):
            login.put_off(now)

    def log_in_again(self, until: float) -> bool:
        """After the server has forgotten the log-in; whether it accepts another.

        :raises Failure: this link must be closed
        """
        if self._credentials is None:
            return False
        return self._log_in(self._credentials.ask_by(until, self._node), until)

    def _log_in(self, credential: Credential, until: float) -> bool:
        try:
            reply = self.exchange(auth(credential), until)
        except Failure as failure:
            # The command that this is done for was not sent. Without the cause, in whose frames
            # the password can be seen.
            raise failure.again(lost=False) from None
        if isinstance(reply, ReplyError):
            return False
        if self._credentials is not None:
            self._login = self._credentials.login(credential)
        return True

    def close(self) -> None:
        """Close the socket; in a forked child, without ending the parent's connection."""
        self._connection.disconnect()


class Pool:
    """At most ``size`` links, the most recently used first."""

    def __init__(self, endpoint: Endpoint, size: int) -> None:
        self._endpoint = endpoint
        self._size = size
        self._reset()
        forget_after_fork(self)

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._idle: list[Link] = []
        self._open = 0
        self._generation = object()

    after_fork = _reset

    @property
    def open(self) -> int:
        """How many links there are, idle and in use."""
        return self._open

    def take(self, until: float) -> tuple[Link, object]:
        """A link, and the generation to give it back to.

        :raises Failure: none was free, or connecting failed
        """
        with self._changed:
            while True:
                generation = self._generation
                while self._idle:
                    link = self._idle.pop()
                    if link.is_fresh():
                        return link, generation
                    self._open -= 1
                    link.close()
                if self._open < self._size:
                    self._open += 1
                    break
                if not self._changed.wait(until - time.monotonic()):
                    raise unavailable(
                        f"all {self._size} connections are in use (max_connections)",
                        self._endpoint.node,
                    )
        try:
            return Link(self._endpoint, until), generation
        except BaseException:
            self._forget(generation)
            raise

    def give(self, link: Link, generation: object) -> None:
        """Put a link back that has no reply pending."""
        with self._changed:
            if generation is self._generation:
                self._idle.append(link)
                self._changed.notify()
                return
        link.close()

    def drop(self, link: Link, generation: object) -> None:
        """Close a link."""
        try:
            link.close()
        finally:
            self._forget(generation)

    def _forget(self, generation: object) -> None:
        with self._changed:
            if generation is self._generation:
                self._open -= 1
                self._changed.notify()

    def close(self) -> None:
        """Close the idle links now, and those in use when they come back."""
        with self._changed:
            idle, self._idle = self._idle, []
            self._open = 0
            self._generation = object()
            self._changed.notify_all()
        for link in idle:
            link.close()


class BlockingTransport:
    """Carries commands by a pool of links.

    :param timeout: the store's, in seconds: an attempt gets a share of it
    :param max_connections: the pool's bound
    """

    def __init__(self, endpoint: Endpoint, timeout: float, max_connections: int) -> None:
        self._endpoint = endpoint
        self._limit = timeout * ATTEMPT_SHARE
        self.pool = Pool(endpoint, max_connections)

    def execute(self, command: Command[Any], deadline: float) -> Any:
        """See :meth:`sessionstore.stores.base.Store.execute`."""
        packed = pack(command.request)
        attempts = Attempts(deadline, self._limit, write=command.write, node=self._endpoint.node)
        while True:
            until = attempts.start(time.monotonic())
            try:
                return self._attempt(packed, until)
            except Failure as failure:
                pause = attempts.failed(failure, time.monotonic(), random.random())  # noqa: S311
            time.sleep(pause)

    def _attempt(self, packed: bytes, until: float) -> Any:
        link, generation = self.pool.take(until)
        try:
            link.stay_logged_in(until)
            reply = link.exchange(packed, until)
            # What was answered so was not executed: it may be sent again, a write as well.
            if wants_login(reply) and link.log_in_again(until):
                reply = link.exchange(packed, until)
        except BaseException:
            self.pool.drop(link, generation)
            raise
        if isinstance(reply, ReplyError):
            failure = from_reply(reply, self._endpoint.node)
            (self.pool.drop if failure.broken else self.pool.give)(link, generation)
            raise failure
        self.pool.give(link, generation)
        return reply

    def close(self) -> None:
        """Close all connections; the transport may be used again."""
        self.pool.close()
