"""One event loop's connection to a Redis server, shared by all of its tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from sessionstore.stores.attempts import Failure
from sessionstore.stores.credentials import Credential
from sessionstore.stores.logging_in import alog_in
from sessionstore.stores.redis.channel import Handshake, RedisChannel
from sessionstore.stores.redis.endpoint import Endpoint, handshake_failed, pack
from sessionstore.stores.redis.failures import ReplyError, spoils
from sessionstore.stores.redis.login import auth, wants_login
from sessionstore.stores.servers.line import Line

Parts = Callable[[float], tuple[bytes, ...]]
"""What to send, as of now (on the clock of :func:`time.monotonic`)."""


class RedisLine(Line[RedisChannel]):
    """The way to a Redis server.

    :param limit: seconds that an attempt may take, connecting included
    """

    def __init__(self, endpoint: Endpoint, limit: float) -> None:
        super().__init__(endpoint.node, limit)
        self._endpoint = endpoint
        self._renewing = False

    async def exchange(self, parts: Parts, until: float) -> Any:
        """Send commands and wait for the reply, which may be a ``ReplyError``.

        :param parts: called with the time when there is a connection. Several: nothing comes
            between them, and the result is a list
        :raises Failure: it could not be sent, or no reply came
        """
        channel = await self.ready(until)
        self._stay_logged_in(channel)
        packed = parts(time.monotonic())
        reply = await self.ask(channel, packed, until)
        return await self.settle(channel, packed, reply, until)

    def free(self) -> RedisChannel | None:
        channel = super().free()
        if channel is not None and channel.login is not None:
            self._stay_logged_in(channel)
        return channel

    async def settle(
        self, channel: RedisChannel, parts: tuple[bytes, ...], reply: Any, until: float
    ) -> Any:
        if wants_login(reply) and channel.login is not None:
            # It was not executed, so it may be sent again, a write as well: by a connection that
            # asks for the credentials anew.
            channel.retire()
            channel = await self.ready(until)
            reply = await self.ask(channel, parts, until)
        for each in reply if type(reply) is list else (reply,):
            if type(each) is ReplyError and spoils(each):
                channel.retire()
        return reply

    async def open(self, until: float) -> RedisChannel:
        channel = await self._log_in(until)
        greeting = self._endpoint.greeting
        if greeting is None:
            return channel
        try:
            reply = await self.ask(channel, (pack(greeting.request),), until)
            greeting.check(reply, self._node)
        except BaseException as error:
            self.discard(channel)
            if isinstance(error, Failure):
                raise error.again(lost=False) from error.__cause__
            raise
        return channel

    async def _log_in(self, until: float) -> RedisChannel:
        credentials = self._endpoint.credentials
        writer, credential = await alog_in(credentials, until, self._node, self._shake_hands)
        login = None
        if credentials is not None and credential is not None:
            login = credentials.login(credential)
        return RedisChannel(writer, self._node, login)

    async def _shake_hands(self, credential: Credential | None) -> asyncio.StreamWriter:
        connection = Handshake(self._endpoint, credential)
        try:
            await connection.connect()
            return connection.take_writer()
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - redis-py raises what it likes
            failure = connection.failure or handshake_failed(error, self._node)
            raise failure from failure.__cause__
        finally:
            connection.drop()

    def _stay_logged_in(self, channel: RedisChannel) -> None:
        credentials, login = self._endpoint.credentials, channel.login
        if credentials is None or login is None or self._renewing:
            return
        if credentials.is_due(login, time.monotonic()):
            # Beside the commands, not before them: the old log-in is still good.
            self._renewing = True
            self.start(self._renew(channel), "sessionstore-login")

    async def _renew(self, channel: RedisChannel) -> None:
        credentials, login = self._endpoint.credentials, channel.login
        if credentials is None or login is None:
            return
        now = time.monotonic()
        login.put_off(now)
        try:
            credential = await credentials.aask(now + self._limit, self._node)
            if not channel.usable:
                return
            # One command among the others, with its own place in the order of the replies.
            reply = await self.ask(channel, (auth(credential),), time.monotonic() + self._limit)
            if not isinstance(reply, ReplyError):
                channel.login = credentials.login(credential)
        except Failure:
            pass  # the old log-in holds, or the next command says that it does not
        finally:
            self._renewing = False
