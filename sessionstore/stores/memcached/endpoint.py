"""Where the server is, which protocol it is spoken to in, and how to log in."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Final

from sessionstore.stores.credentials import Credential, Credentials
from sessionstore.stores.memcached.binary import Binary
from sessionstore.stores.memcached.conversation import Conversation
from sessionstore.stores.memcached.login import Greeting
from sessionstore.stores.memcached.messages import Codec
from sessionstore.stores.memcached.meta import Meta
from sessionstore.stores.memcached.ring import ketama_label

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
    :param items: whether it keeps sessions, or is only asked who does
    """

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    protocol: str = "meta"
    credentials: Credentials | None = field(default=None, repr=False)
    auth_optional: bool = False
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    items: bool = True

    @property
    def node(self) -> str:
        """For messages: ``host:port``, or the socket's path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"

    @property
    def label(self) -> str:
        """Its name on the ring."""
        return ketama_label(self.path or self.host, self.port)

    def converse(self) -> Conversation:
        """For a new connection."""
        return Conversation(CODECS[self.protocol])

    def greet(self, credential: Credential | None) -> Greeting:
        """For a new connection."""
        return Greeting(
            self.protocol,
            credential,
            optional=self.auth_optional,
            node=self.node,
            items=self.items,
        )
