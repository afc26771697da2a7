"""The sync transport: links in pools."""

from __future__ import annotations

import time
from contextlib import suppress
from math import inf

from sessionstore.core.errors import SessionTooLarge
from sessionstore.core.flow import run
from sessionstore.stores.attempts import Failure, refused
from sessionstore.stores.credentials import Credential
from sessionstore.stores.dialing import dial, shut_down
from sessionstore.stores.logging_in import log_in
from sessionstore.stores.memcached.conversation import check_size
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.failures import is_broken
from sessionstore.stores.memcached.login import before_the_command
from sessionstore.stores.memcached.messages import ERRORS, Malformed, Reply, Request
from sessionstore.stores.memcached.routing import Exchange, Routing
from sessionstore.stores.memcached.topology import Node
from sessionstore.stores.servers.pools import Pools
from sessionstore.stores.wire import Wire


class Link:
    """One connection to the server, greeted.

    :raises Failure: connecting or logging in failed
    """

    def __init__(self, endpoint: Endpoint, credential: Credential | None, until: float) -> None:
        self._node = endpoint.node
        self._socket = dial(endpoint, until)
        self._wire = Wire(self._socket, endpoint.node)
        self._conversation = endpoint.converse()
        self._heard = False
        self.item_size: float = inf
        try:
            self.item_size = self._greet(endpoint, credential, until)
        except BaseException:
            self.close()
            raise

    def _greet(self, endpoint: Endpoint, credential: Credential | None, until: float) -> int:
        try:
            return run(
                endpoint.greet(credential).flow(),
                lambda command: self.exchange(command.request, until),
            )
        except Failure as failure:
            raise before_the_command(failure, first=not self._heard) from None

    def abort(self) -> None:
        """From another thread: whoever waits on this link gets a ``Failure`` at once."""
        shut_down(self._socket)

    def is_fresh(self) -> bool:
        """Whether the server has neither closed the connection nor said anything unasked."""
        return self._wire.is_silent()

    def exchange(self, request: Request, until: float) -> Reply:
        """Send one request and read its reply, which may be an error.

        :raises SessionTooLarge: it was not sent, and this link is as good as before
        :raises Failure: this link must be closed
        """
        check_size(request, self.item_size)
        conversation, wire = self._conversation, self._wire
        # A server executes nothing before it has the whole request.
        wire.send(conversation.ask(request, time.time()), until)
        reply: Reply | None = None
        more = False
        while reply is None:
            data = wire.receive(until, more=more)
            more = True
            self._heard = True
            try:
                reply = next(conversation.hear(data), None)
            except Malformed as error:
                raise refused(str(error), self._node, lost=True) from None
        if not conversation.is_over():
            raise refused("the server sent more than the reply", self._node, lost=True)
        return reply

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
        super().__init__(routing, connect, max_connections)

    def is_answer(self, reply: Reply) -> bool:
        return reply.outcome not in ERRORS

    def exchange(self, request: Exchange) -> Reply:
        return self.ask(request.node, request.request, request.until)

    def ask(self, node: Node, request: Request, until: float) -> Reply:
        pool = self.pool(node)
        link, generation = pool.take(until)
        try:
            reply = link.exchange(request, until)
        except SessionTooLarge:
            pool.give(link, generation)
            raise
        except BaseException:
            pool.drop(link, generation)
            raise
        if is_broken(reply):
            pool.drop(link, generation)
        else:
            pool.give(link, generation)
        return reply
