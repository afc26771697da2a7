"""One blocking connection, driven directly.

redis-py connects and logs in; after that, a command is one ``send`` and its reply one ``recv`` on
the socket (docs/performance.md: redis-py's own command layer costs about as much as the round
trip).
"""

from __future__ import annotations

import socket
import time
from typing import Any, cast

from redis.connection import AbstractConnection

from sessionstore.stores.attempts import Failure, refused
from sessionstore.stores.credentials import Credential, Login
from sessionstore.stores.dialing import Bounded, dial, shut_down
from sessionstore.stores.logging_in import log_in
from sessionstore.stores.redis.endpoint import (
    NOTHING_YET,
    Endpoint,
    handshake_failed,
    make_reader,
    pack,
    take_reply,
)
from sessionstore.stores.redis.failures import ReplyError
from sessionstore.stores.redis.login import auth
from sessionstore.stores.wire import Wire

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
    connection, credential = log_in(
        endpoint.credentials,
        until,
        endpoint.node,
        lambda credential: _shake_hands(endpoint, credential, until),
    )
    if endpoint.credentials is None or credential is None:
        return connection, None
    return connection, endpoint.credentials.login(credential)


class Link:
    """One connection to the server.

    :raises Failure: connecting or logging in failed, or it is not the server that was expected
    """

    def __init__(self, endpoint: Endpoint, until: float) -> None:
        self._node = endpoint.node
        self._credentials = endpoint.credentials
        self._connection, self.login = _connect(endpoint, until)
        self._socket = cast(socket.socket, self._connection.raw)
        self._wire = Wire(self._socket, endpoint.node)
        self._reader = make_reader()
        if endpoint.greeting is not None:
            self._greet(endpoint, until)

    def _greet(self, endpoint: Endpoint, until: float) -> None:
        assert endpoint.greeting is not None  # noqa: S101 (the caller has looked)
        try:
            reply = self.exchange(pack(endpoint.greeting.request), until)
            endpoint.greeting.check(reply, endpoint.node)
        except Failure as failure:
            self.close()
            raise failure.again(lost=False) from failure.__cause__
        except BaseException:
            self.close()
            raise

    @property
    def waitable(self) -> socket.socket:
        """What to wait for, until the server says something."""
        return self._socket

    def is_fresh(self) -> bool:
        """Whether the server has neither closed the connection nor said anything unasked."""
        return self._wire.is_silent()

    def exchange(self, packed: bytes, until: float, count: int = 1) -> Any:
        """Send a command and read its reply, which may be a ``ReplyError``.

        :param count: so many commands at once; then a list of as many replies
        :raises Failure: this link must be closed
        """
        self._wire.send(packed, until, commands=count)
        reply = self._receive(until)
        if count > 1:
            reply = [reply]
            try:
                while len(reply) < count:
                    reply.append(self._receive(until))
            except Failure as failure:
                if isinstance(failure.__cause__, TimeoutError):
                    failure.received = tuple(reply)
                raise
        if self._reader.has_data():
            raise refused("the server sent more than the reply", self._node, lost=True)
        return reply

    def _receive(self, until: float) -> Any:
        """The next reply."""
        reader, wire = self._reader, self._wire
        reply, more = take_reply(reader, self._node), False
        while reply is NOTHING_YET:
            reader.feed(wire.receive(until, more=more))
            reply, more = take_reply(reader, self._node), True
        return reply

    def discard(self, until: float) -> None:
        """Read one message that came unasked."""
        self._receive(until)

    def stay_logged_in(self, until: float) -> None:
        """Log in again if it is time to; if that cannot be done now, the old log-in goes on.

        :raises Failure: this link must be closed
        """
        credentials, login = self._credentials, self.login
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
            self.login = self._credentials.login(credential)
        return True

    def close(self) -> None:
        """Close the socket; in a forked child, without ending the parent's connection."""
        self._connection.disconnect()

    def abort(self) -> None:
        """From another thread: whoever waits on this link gets a ``Failure`` at once."""
        shut_down(self._socket)
