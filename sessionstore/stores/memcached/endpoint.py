"""Where the server is, which protocol it is spoken to in, and how to log in."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Final

from sessionstore.core.errors import ConfigurationError
from sessionstore.stores.auth import credentials_from
from sessionstore.stores.credentials import Credential, Credentials
from sessionstore.stores.dialing import tls_context
from sessionstore.stores.location import Location
from sessionstore.stores.memcached.binary import Binary
from sessionstore.stores.memcached.conversation import Conversation
from sessionstore.stores.memcached.login import Greeting
from sessionstore.stores.memcached.messages import Codec
from sessionstore.stores.memcached.meta import Meta

DEFAULT_PORT: Final = 11211
CODECS: Final[dict[str, Codec]] = {codec.name: codec for codec in (Binary(), Meta())}


@dataclass(frozen=True)
class Endpoint:
    """One server.

    :param path: of a Unix socket; then there is no host
    :param protocol: ``"binary"`` or ``"meta"``
    :param credentials: asked at every connect, so that a password can be exchanged while running
    :param auth_optional: go on with a server that does not ask for them
    :param ssl_context: connect by TLS; the host name is checked as the context says
    """

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    protocol: str = "meta"
    credentials: Credentials | None = field(default=None, repr=False)
    auth_optional: bool = False
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def node(self) -> str:
        """For messages: ``host:port``, or the socket's path."""
        return self.path or f"{self.host}:{self.port}"

    def converse(self) -> Conversation:
        """For a new connection."""
        return Conversation(CODECS[self.protocol])

    def greet(self, credential: Credential | None) -> Greeting:
        """For a new connection."""
        return Greeting(self.protocol, credential, optional=self.auth_optional, node=self.node)


def endpoint_from(location: Location, options: dict[str, Any]) -> Endpoint:
    """Take the connection's part out of ``options``.

    :raises ConfigurationError: the URL's parts do not fit together
    """
    scheme = location.scheme
    if len(location.hosts) > 1:
        raise ConfigurationError(f"{scheme}: several servers are not supported in this version")
    credentials = _credentials(location, options)
    protocol = options.pop("protocol", None) or ("meta" if credentials is None else "binary")
    if protocol not in CODECS:
        raise ConfigurationError(f"{scheme}: protocol={protocol!r}; there are binary and meta")
    optional = options.pop("auth_optional", False)
    if optional and credentials is None:
        raise ConfigurationError(f"{scheme}: auth_optional= needs a user name and password")
    if scheme == "memcached+unix":
        return Endpoint("", 0, _socket_path(location), protocol, credentials, optional)
    host, port = location.single_host()
    if location.path.strip("/"):
        raise ConfigurationError(f"{scheme}: takes no path; write {scheme}://host:{DEFAULT_PORT}")
    context = _tls(location, options)
    return Endpoint(host, port or DEFAULT_PORT, "", protocol, credentials, optional, context)


def _credentials(location: Location, options: dict[str, Any]) -> Credentials | None:
    scheme = location.scheme
    if options.get("auth") == "iam":
        raise ConfigurationError(
            f"{scheme}: auth='iam' is for Redis and Valkey; there are env, file"
        )
    if location.password is not None and not (location.username and location.password):
        raise ConfigurationError(f"{scheme}: Memcached's log-in needs a user name and a password")
    return credentials_from(location, options)


def _tls(location: Location, options: dict[str, Any]) -> ssl.SSLContext | None:
    context: ssl.SSLContext | None = options.pop("ssl_context", None)
    files = [options.pop(name, None) for name in ("ca", "cert", "key")]
    if context is None and location.scheme == "memcacheds":
        return tls_context(location.scheme, *files)
    if any(files):
        raise ConfigurationError("memcacheds: ssl_context= excludes ca=, cert= and key=")
    return context


def _socket_path(location: Location) -> str:
    if location.hosts:
        raise ConfigurationError(
            "memcached+unix: a socket has no host; write memcached+unix:///path/to/socket "
            "(with a password: memcached+unix://user:password@/path/to/socket)"
        )
    if len(location.path) < 2:
        raise ConfigurationError("memcached+unix: the path of the socket is missing")
    return location.path
