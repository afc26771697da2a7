"""Where the server is and how to log in; and what both transports do with redis-py alike."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import hiredis
from redis import exceptions
from redis.connection import AbstractConnection
from redis.credentials import UsernamePasswordCredentialProvider

from sessionstore.stores.attempts import Failure, refused, unavailable
from sessionstore.stores.credentials import Credential, Credentials
from sessionstore.stores.dialing import connecting_failed
from sessionstore.stores.redis.failures import ReplyError, from_reply

DEFAULT_PORT = 6379
NOTHING_YET: Any = object()
"""What the parser returns while a reply is incomplete."""


@dataclass(frozen=True)
class Greeting:
    """What a new connection says first, to find out whom it has reached.

    :param check: called with the reply and the node's name; raises ``Failure``
    """

    request: tuple[str, ...]
    check: Callable[[Any, str], None]


@dataclass(frozen=True)
class Endpoint:
    """One server.

    :param path: of a Unix socket; then there is no host
    :param credentials: asked at every connect, so that a password can be exchanged while running
    :param ssl_context: connect by TLS; the host name is checked as the context says
    :param greeting: where an address is only somebody's word for what is there
    """

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    db: int = 0
    credentials: Credentials | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    greeting: Greeting | None = field(default=None, repr=False)

    @property
    def node(self) -> str:
        """For messages: ``host:port``, or the socket's path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"

    def connection_options(self, credential: Credential | None) -> dict[str, Any]:
        """For redis-py's ``AbstractConnection``, sync or async: the handshake and nothing more.

        RESP2, so that nothing arrives unasked. No timeouts and no retries of redis-py's: the
        transports have one deadline instead.
        """
        provider = credential and UsernamePasswordCredentialProvider(
            credential.username, credential.password
        )
        options: dict[str, Any] = {
            "db": self.db,
            "credential_provider": provider,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "socket_read_size": 4096,
        }
        # CLIENT SETINFO costs two round trips per connection, and a least-privilege user may not.
        if "driver_info" in signature(AbstractConnection.__init__).parameters:
            options["driver_info"] = None
        else:  # redis-py before 7.1
            options.update(lib_name=None, lib_version=None)
        return options


def make_reader() -> Any:
    """A RESP parser that fails on what is not RESP."""
    return hiredis.Reader(replyError=ReplyError, errors="replace", notEnoughData=NOTHING_YET)


def pack(request: tuple[Any, ...]) -> bytes:
    """A command's bytes."""
    packed: bytes = hiredis.pack_command(request)
    return packed


def take_reply(reader: Any, node: str) -> Any:
    """The next reply, or ``NOTHING_YET``.

    :raises Failure: the bytes are not RESP: whatever this connection says next means nothing
    """
    try:
        return reader.gets()
    except (hiredis.ProtocolError, TypeError, MemoryError):
        # TypeError: a map of RESP3 that Python has no dict for. MemoryError: a list of 2^32.
        raise refused("the server's reply is not Redis protocol", node, lost=True) from None


_HANDSHAKE_CODES = (
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.AuthenticationError, "WRONGPASS"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
)


def handshake_failed(error: Exception, node: str) -> Failure:
    """What an error of redis-py's handshake means. No command was sent yet."""
    tls = error.__cause__ or error.__context__
    if isinstance(tls, ssl.SSLError):
        return connecting_failed(tls, node)
    if "without any password" in str(error) or "no password is set" in str(error):
        return refused("a password is given and the server has none configured", node)
    for kind, code in _HANDSHAKE_CODES:
        if isinstance(error, kind):
            failure = from_reply(ReplyError(code), node)
            failure.broken = True
            return failure
    if isinstance(error, exceptions.TimeoutError):
        return unavailable("no answer while logging in", node)
    if isinstance(error, exceptions.InvalidResponse):
        return refused("the server's reply is not Redis protocol", node)
    if "max number of clients" in str(error):
        return from_reply(ReplyError("ERR max number of clients reached"), node)
    if isinstance(error, exceptions.ConnectionError):
        return unavailable("the connection was lost while logging in", node)
    if isinstance(error, exceptions.ResponseError):
        return refused("the server refuses the log-in or the database's number", node)
    failure = unavailable(f"connecting failed: {type(error).__name__}", node)
    failure.__cause__ = error
    return failure
