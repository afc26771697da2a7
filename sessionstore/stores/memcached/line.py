"""One event loop's connection to a Memcached server, shared by all of its tasks."""

from __future__ import annotations

import asyncio
from typing import Any

from sessionstore.core.flow import Command, arun
from sessionstore.stores.attempts import Failure
from sessionstore.stores.credentials import Credential
from sessionstore.stores.dialing import connecting_failed
from sessionstore.stores.lateness import NoThread
from sessionstore.stores.logging_in import alog_in
from sessionstore.stores.memcached.channel import MemcachedChannel
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.failures import is_broken
from sessionstore.stores.memcached.login import before_the_command
from sessionstore.stores.memcached.messages import Reply, Request
from sessionstore.stores.servers.line import Line


class MemcachedLine(Line[MemcachedChannel]):
    """The way to a Memcached server.

    :param limit: seconds that an attempt may take, connecting included
    """

    def __init__(self, endpoint: Endpoint, limit: float) -> None:
        super().__init__(endpoint.node, limit)
        self._endpoint = endpoint

    async def exchange(self, request: Request, until: float) -> Reply:
        """Send one request and wait for its reply, which may be an error.

        :raises SessionTooLarge: it was not sent
        :raises Failure: it could not be sent, or no reply came
        """
        channel = await self.ready(until)
        reply = await self.ask(channel, (request,), until)
        return await self.settle(channel, (request,), reply, until)

    async def settle(
        self, channel: MemcachedChannel, parts: tuple[Request, ...], reply: Reply, until: float
    ) -> Reply:
        if is_broken(reply):
            channel.retire()
        return reply

    async def open(self, until: float) -> MemcachedChannel:
        async def greeted(credential: Credential | None) -> MemcachedChannel:
            return await self._greeted(credential, until)

        return (await alog_in(self._endpoint.credentials, until, self._node, greeted))[0]

    async def _greeted(self, credential: Credential | None, until: float) -> MemcachedChannel:
        channel = await self._dial()

        async def execute(command: Command[Any]) -> Reply:
            reply: Reply = await self.ask(channel, (command.request,), until)
            return reply

        try:
            channel.item_size = await arun(self._endpoint.greet(credential).flow(), execute)
        except BaseException as error:
            self.discard(channel)
            if isinstance(error, Failure):
                raise before_the_command(error, first=not channel.heard) from None
            raise
        return channel

    async def _dial(self) -> MemcachedChannel:
        endpoint, loop = self._endpoint, asyncio.get_running_loop()

        def protocol() -> MemcachedChannel:
            return MemcachedChannel(endpoint.converse(), endpoint.node)

        try:
            if endpoint.path:
                return (await loop.create_unix_connection(protocol, endpoint.path))[1]
            host, port, context = endpoint.host, endpoint.port, endpoint.ssl_context
            return (await loop.create_connection(protocol, host, port, ssl=context))[1]
        except TimeoutError:
            raise
        except RuntimeError:  # for the name lookup
            raise connecting_failed(NoThread(), endpoint.node) from None
        except OSError as error:
            raise connecting_failed(error, endpoint.node) from error
