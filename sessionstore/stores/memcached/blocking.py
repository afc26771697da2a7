"""The sync transport: links in pools."""

from __future__ import annotations

import select
import time
from contextlib import suppress
from typing import Any

from sessionstore.core.errors import SessionTooLarge
from sessionstore.core.flow import Command, run
from sessionstore.stores.attempts import Failure, refused, unavailable
from sessionstore.stores.credentials import Credential
from sessionstore.stores.dialing import dial, shut_down
from sessionstore.stores.logging_in import log_in
from sessionstore.stores.memcached.conversation import check_size
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.failures import is_broken
from sessionstore.stores.memcached.login import before_the_command
from sessionstore.stores.memcached.messages import Malformed, Reply, Request
from sessionstore.stores.memcached.routing import Exchange, Routing
from sessionstore.stores.memcached.topology import Node
from sessionstore.stores.servers.pools import Pools

_BUFFER = 16384


class Link:
    """One connection to the server, greeted.

    :raises Failure: connecting or logging in failed
    """

    def __init__(self, endpoint: Endpoint, credential: Credential | None, until: float) -> None:
        self._node = endpoint.node
        self._socket = dial(endpoint, until)
        self._conversation = endpoint.converse()
        self._buffer = bytearray(_BUFFER)
        self._heard = False
        # Where there is no poll (Windows), a connection that died in the pool is found by using it.
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._socket, select.POLLIN)
        try:
            self.item_size = self._greet(endpoint, credential, until)
        except BaseException:
            self.close()
            raise

    def _greet(self, endpoint: Endpoint, credential: Credential | None, until: float) -> int:
        try:
            return run(
                endpoint.greet(credential).flow(),
                lambda command: self._exchange(command.request, until),
            )
        except Failure as failure:
            raise before_the_command(failure, first=not self._heard) from None

    def abort(self) -> None:
        """From another thread: whoever waits on this link gets a ``Failure`` at once."""
        shut_down(self._socket)

    def is_fresh(self) -> bool:
        """Whether the server has neither closed the connection nor said anything unasked."""
        return self._poll is None or not self._poll.poll(0)

    def exchange(self, request: Request, until: float) -> Reply:
        """Send one request and read its reply, which may be an error.

        :raises SessionTooLarge: it was not sent, and this link is as good as before
        :raises Failure: this link must be closed
        """
        check_size(request, self.item_size)
        return self._exchange(request, until)

    def _exchange(self, request: Request, until: float) -> Reply:
        packed = self._conversation.ask(request, time.time())
        try:
            self._socket.settimeout(max(until - time.monotonic(), 0.0001))
            self._socket.sendall(packed)
        except OSError as error:
            # Not all of it went out, and a server executes nothing before it has the whole.
            raise unavailable("the connection was lost while sending", self._node) from error
        while True:
            size = self._receive()
            self._heard = True
            try:
                replies = list(self._conversation.hear(memoryview(self._buffer)[:size]))
            except Malformed as error:
                raise refused(str(error), self._node, lost=True) from None
            if replies:
                break
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise unavailable("no whole reply in time", self._node, lost=True)
            self._socket.settimeout(remaining)
        if not self._conversation.is_over():
            raise refused("the server sent more than the reply", self._node, lost=True)
        return replies[0]

    def _receive(self) -> int:
        try:
            size = self._socket.recv_into(self._buffer)
        except TimeoutError as error:
            raise unavailable("no reply in time", self._node, lost=True) from error
        except OSError as error:
            raise unavailable("the connection was lost", self._node, lost=True) from error
        if size == 0:
            raise unavailable("the server closed the connection", self._node, lost=True)
        return size

    def close(self) -> None:
        """Close the socket; in a forked child, without ending the parent's connection."""
        # SSLSocket.close() says no goodbye either, which would end the parent's.
        self._socket.close()

    def __del__(self) -> None:
        # Of a store that nobody has closed, or a parent's in a forked child: no ResourceWarning.
        with suppress(AttributeError):  # it was never opened
            self._socket.close()


def connect(endpoint: Endpoint, until: float) -> Link:
    """A new connection.

    :raises Failure: connecting or logging in failed
    """

    def open_link(credential: Credential | None) -> Link:
        return Link(endpoint, credential, until)

    return log_in(endpoint.credentials, until, endpoint.node, open_link)[0]


class BlockingTransport(Pools[Link]):
    """Carries commands for threads.

    :param max_connections: of each pool
    """

    def __init__(self, routing: Routing, max_connections: int) -> None:
        super().__init__(routing.topology, connect, max_connections)
        self._routing = routing

    def execute(self, command: Command[Any], deadline: float, node: Node | None = None) -> Reply:
        """See :meth:`sessionstore.stores.base.Store.execute`.

        :param node: the one to ask, whatever the key
        """
        reply: Reply = self.carry(self._routing.carry(command, deadline, node))
        return reply

    def exchange(self, request: Exchange) -> Reply:
        pool = self.pool(request.node)
        link, generation = pool.take(request.until)
        try:
            reply = link.exchange(request.request, request.until)
        except SessionTooLarge:
            pool.give(link, generation)
            raise
        except BaseException:
            pool.drop(link, generation)
            raise
        (pool.drop if is_broken(reply) else pool.give)(link, generation)
        return reply
