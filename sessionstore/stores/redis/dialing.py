"""Opening a blocking socket, TLS included, by a deadline. What redis-py leaves unbounded: the name
lookup, several addresses one after the other, and a handshake that arrives byte by byte."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

from sessionstore.stores.lateness import call_by
from sessionstore.stores.redis.endpoint import Endpoint, connecting_failed

_Address = tuple[Any, ...]


def dial(endpoint: Endpoint, until: float) -> socket.socket:
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


def _dial_tcp(endpoint: Endpoint, until: float) -> socket.socket:
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


def _resolve(endpoint: Endpoint, until: float) -> list[tuple[int, _Address]]:
    with suppress(ValueError):
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
    """A socket whose every operation ends by one deadline; redis-py logs in through it."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._socket = sock
        self._until = until

    def sendall(self, data: bytes) -> None:
        """By the deadline, whatever timeout redis-py has set."""
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
