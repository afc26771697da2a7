"""Opening a blocking socket, TLS included, by a deadline.

What client libraries leave unbounded: the name lookup, several addresses one after the other, and a
handshake that arrives byte by byte.

And what the asyncio transports need of it: the TLS context, and what an error of connecting means.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from sessionstore.core.errors import ConfigurationError
from sessionstore.stores.attempts import Failure, refused, unavailable
from sessionstore.stores.lateness import NoThread, call_by

_Address = tuple[Any, ...]


class Address(Protocol):
    """Where a server is. ``path`` is of a Unix socket; then there is no host."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def ssl_context(self) -> ssl.SSLContext | None: ...
    @property
    def node(self) -> str:
        """For messages."""


def dial(endpoint: Address, until: float) -> socket.socket:
    """A connected socket.

    :raises Failure: refused, unreachable, timed out, or TLS failed
    """
    try:
        if endpoint.path:
            return _open(socket.AF_UNIX, endpoint.path, until)
        sock = _dial_tcp(endpoint, until)
        if endpoint.ssl_context is None:
            return sock
        return _secure(sock, endpoint.ssl_context, endpoint.host, until)
    except OSError as error:
        raise connecting_failed(error, endpoint.node) from error


def _dial_tcp(endpoint: Address, until: float) -> socket.socket:
    problem: OSError = TimeoutError()
    for family, address in _resolve(endpoint, until):
        try:
            sock = _open(family, address, until)
        except OSError as error:
            problem = error
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A connection idle in the pool must not be forgotten silently by a firewall.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return sock
    raise problem


def _open(family: int, address: Any, until: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(_remaining(until))
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _secure(sock: socket.socket, context: ssl.SSLContext, host: str, until: float) -> ssl.SSLSocket:
    try:
        sock.settimeout(_remaining(until))
        return context.wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def _resolve(endpoint: Address, until: float) -> list[tuple[int, _Address]]:
    with suppress(ValueError):  # it is a name
        version = ipaddress.ip_address(endpoint.host).version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        return [(family, (endpoint.host, endpoint.port))]
    # getaddrinfo takes no timeout, and a resolver that does not answer takes 5 seconds and more.
    found = call_by(
        until,
        lambda: socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM),
    )
    return [(family, address) for family, _, _, _, address in found]


def _remaining(until: float) -> float:
    remaining = until - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


class Bounded:
    """A socket whose every operation ends by one deadline; a library logs in through it."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._socket = sock
        self._until = until

    def sendall(self, data: bytes) -> None:
        """By the deadline, whatever timeout the library has set."""
        self._socket.settimeout(_remaining(self._until))
        self._socket.sendall(data)

    def recv(self, size: int) -> bytes:
        """By the deadline."""
        self._socket.settimeout(_remaining(self._until))
        return self._socket.recv(size)

    def recv_into(self, buffer: bytearray) -> int:
        """By the deadline."""
        self._socket.settimeout(_remaining(self._until))
        return self._socket.recv_into(buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def connecting_failed(error: OSError, node: str) -> Failure:
    """What an error of the socket, or of TLS, means before anything was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        failure = refused(f"TLS: {error.verify_message or 'certificate not accepted'}", node)
    elif isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        failure = unavailable("the connection was lost in the TLS handshake", node)
    elif isinstance(error, ssl.SSLError):
        failure = refused(f"TLS failed ({error.reason or 'handshake'})", node)
    elif isinstance(error, TimeoutError):
        failure = unavailable("timed out while connecting", node)
    elif isinstance(error, socket.gaierror):
        failure = unavailable("the host name was not found", node)
    elif isinstance(error, NoThread):
        failure = unavailable(f"cannot connect: {error}", node, silent=False)
    elif isinstance(error, PermissionError):
        failure = refused("no permission to open the socket", node)
    else:
        # Not error.strerror: asyncio puts a sentence of its own there.
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        failure = unavailable(f"cannot connect: {why}", node)
    failure.__cause__ = error
    return failure


def tls_context(scheme: str, ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """TLS 1.2 or later, chain and host name verified.

    :param scheme: of the URL, for messages
    :param ca: a PEM file of certificate authorities, instead of the system's
    :raises ConfigurationError: a file is missing or is not what it should be
    """
    for name, file in (("ca", ca), ("cert", cert), ("key", key)):
        if file is not None and not Path(file).is_file():
            raise ConfigurationError(f"{scheme}: {name}={file!r}: there is no such file")
    if key and not cert:
        raise ConfigurationError(
            f"{scheme}: key= needs cert=, the client certificate it belongs to"
        )
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert:
            # A callback, or OpenSSL would ask for the passphrase of an encrypted key on the tty.
            context.load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(f"{scheme}: the TLS files do not load: {error}") from error
    return context


def shut_down(sock: socket.socket) -> None:
    """From another thread: end what is being received and sent; the socket is still open."""
    with suppress(OSError):  # it has ended already
        # Not SSLSocket's own, which would have a reader go on in plain text.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
