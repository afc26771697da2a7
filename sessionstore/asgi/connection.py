"""One request or WebSocket under way: when its session is loaded and committed, what it answers.

A commit comes before ``http.response.start`` (or ``websocket.accept``) goes out, because only
then its cookie can be sent, and a failure can still become an error response. What changes
afterwards, in a stream or a background task, is committed at the end.
"""

from __future__ import annotations

import logging
from typing import Final

from sessionstore.answers import Answer, answer_to
from sessionstore.asgi.headers import CookieHeaders
from sessionstore.asgi.session import ASGISession
from sessionstore.asgi.types import ASGIApp, Message, Receive, Scope, Send
from sessionstore.core.cookies import Cookie
from sessionstore.core.errors import SessionError, StoreError
from sessionstore.core.state import Status

logger = logging.getLogger("sessionstore")

_BEGINNINGS: Final = frozenset(
    ("http.response.start", "websocket.accept", "websocket.http.response.start")
)
_DENIAL: Final = "websocket.http.response"
# RFC 6455's registry of close codes.
_INTERNAL_ERROR: Final = 1011
_TRY_AGAIN_LATER: Final = 1013
_POLICY_VIOLATION: Final = 1008


class Connection:
    """Runs the application for one HTTP request or WebSocket.

    :param receive: the server's
    :param send: the server's
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        session: ASGISession,
        headers: CookieHeaders,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._session = session
        self._headers = headers
        self._is_websocket = scope["type"] == "websocket"
        # The client is past the point where a status and a cookie could be sent.
        self._begun = False
        # A commit failed: the application was told, and there is no second attempt.
        self._failed = False
        # The error that we have answered in the application's place.
        self._answered: SessionError | None = None
        self._connected = False
        self._disconnected = False

    async def run(self, app: ASGIApp, *, load: bool) -> None:
        """Call the application.

        :param load: whether to load the session first
        """
        # Nearly every step is looked at first: one that has nothing to do is then not awaited.
        if load and self._session.state.status is Status.UNLOADED:
            try:
                await self._session.load()
            except StoreError as error:
                await self._answer(error)
                return
        receive = self.receive if self._is_websocket else self._receive
        try:
            await app(self._scope, receive, self.send)
        except Exception as error:
            if not await self._is_settled(error):
                raise
        else:
            await self._finish()

    async def receive(self) -> Message:
        """What a WebSocket application receives with."""
        message = await self._receive()
        self._connected = True
        if message["type"] == "websocket.disconnect":
            self._disconnected = True
        return message

    async def send(self, message: Message) -> None:
        """What the application sends with."""
        if self._answered is not None:
            raise self._answered  # the response is complete: this ends an endless stream
        if not self._begun and message["type"] in _BEGINNINGS:
            message = await self._begin(message)
        elif message["type"] == "websocket.close":
            message = await self._close(message)
        await self._send(message)

    # -- commits --

    async def _begin(self, message: Message) -> Message:
        """Commit, and put the cookie into the message; or answer, and tell the application."""
        session = self._session
        if not self._failed and session.content() is not None:
            try:
                await session.save()
            except Exception as error:
                self._failed = True
                if isinstance(error, SessionError):
                    await self._answer(error)
                raise
        session.state.headers_sent = self._begun = True
        return self._headers.applied(message, session.cookie, varies=session.accessed)

    async def _close(self, message: Message) -> Message:
        """Commit before a WebSocket is closed (or rejected): whoever sees the close may read."""
        self._session.state.headers_sent = self._begun = True
        try:
            await self._commit_late()
        except Exception:
            await self._send({**message, "code": _INTERNAL_ERROR})
            raise
        return message

    async def _finish(self) -> None:
        """Commit what changed after the response began. Without a response nothing is stored."""
        if self._begun:
            await self._commit_late()

    async def _commit_late(self) -> None:
        if self._failed or self._answered is not None or self._session.content() is None:
            return
        try:
            await self._session.save()
        except Exception as error:
            self._failed = True
            logger.error(
                "a session changed after its response had begun and could not be stored: %s: %s",
                type(error).__name__,
                error,
            )
            raise

    # -- failures --

    async def _is_settled(self, error: Exception) -> bool:
        """Whether an exception of the application has been answered; else it must go on."""
        if self._answered is not None:
            return _stems_from(error, self._answered)
        if self._begun:
            if self._disconnected:
                # An ordinary end: the next receive() after it raises in most applications.
                await self._finish()
            return False
        return isinstance(error, SessionError) and await self._answer(error)

    async def _answer(self, error: SessionError) -> bool:
        """Send the error response that belongs to this error, if there is one."""
        answer = answer_to(error)
        if answer is None:
            return False
        self._answered = error
        self._begun = True
        if self._is_websocket:
            if not self._connected:
                await self._receive()
            if _DENIAL not in (self._scope.get("extensions") or {}):
                await self._reject(answer)
                return True
        prefix = _DENIAL if self._is_websocket else "http.response"
        body = answer.text.encode()
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        headers.append((b"content-length", str(len(body)).encode()))
        start = {"type": f"{prefix}.start", "status": answer.status, "headers": headers}
        await self._send(self._headers.applied(start, self._cookie_after(error), varies=True))
        await self._send({"type": f"{prefix}.body", "body": body})
        return True

    async def _reject(self, answer: Answer) -> None:
        code = _TRY_AGAIN_LATER if answer.status == 503 else _POLICY_VIOLATION
        await self._send({"type": "websocket.close", "code": code, "reason": answer.text.strip()})

    def _cookie_after(self, error: SessionError) -> Cookie | None:
        """The cookie is left alone, but for what was stored before, and for a failed logout."""
        state = self._session.state
        if state.destroyed and state.token is not None:
            return Cookie(None)
        return self._session.cookie if isinstance(error, StoreError) else None


def _stems_from(error: BaseException | None, origin: BaseException) -> bool:
    """Whether an exception is that one, was raised from it, or is a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(_stems_from(member, origin) for member in error.exceptions)
    return error is origin or (error is not None and _stems_from(error.__cause__, origin))
