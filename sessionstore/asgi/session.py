"""``scope["session"]``: the core's session, with the two operations that an ASGI app may await."""

from __future__ import annotations

from sessionstore.core.cookies import Cookie
from sessionstore.core.errors import NotLoaded
from sessionstore.core.session import Session
from sessionstore.core.state import State
from sessionstore.manager import SessionManager


class ASGISession(Session):
    """One request's or WebSocket's session: a dict, loaded before the application is called.

    :param origin: which middleware's session it is: another one with the same settings shares it
    """

    __slots__ = ("_manager", "cookie", "origin")

    def __init__(self, state: State, manager: SessionManager, origin: object) -> None:
        super().__init__(state)
        self._manager = manager
        self.origin = origin
        self.cookie: Cookie | None = None

    async def load(self) -> None:
        """Load it, if that has not been done; at most one store command.

        :raises StoreError: the store failed
        """
        await self._manager.aload(self.state)

    async def save(self) -> None:
        """Store now what was changed so far. Costs no store command if nothing was.

        There is no need to call this in an ordinary request. In a WebSocket, or in a response
        that is streamed for long, it stores what must not wait for the end, and keeps the session
        from expiring meanwhile.

        :raises SessionGone: the session ended, or changed hands, meanwhile; the writes are dropped
        :raises SessionTooLarge: nothing was sent to the store
        :raises UnstorableValue: (a TypeError) naming the path of the value
        :raises StoreError: the store failed
        """
        cookie = await self._manager.asave(self.state, self.content())
        if cookie is not None:
            self.cookie = cookie

    def mark_accessed(self) -> None:
        """Called by Starlette's ``request.session``, so that the response varies by cookie."""
        self.state.accessed = True


class ManualSession(ASGISession):
    """With ``load="manual"``: reading it is refused until :meth:`load` was awaited.

    Anonymous visitors' too: a forgotten ``load()`` should fail in the first test of a page, not at
    its first visitor who has a session.
    """

    __slots__ = ("_closed",)

    def __init__(self, state: State, manager: SessionManager, origin: object) -> None:
        super().__init__(state, manager, origin)
        self._closed = True

    async def load(self) -> None:
        await super().load()
        self._closed = False

    def destroy(self) -> None:
        super().destroy()
        self._closed = False

    def _open(self) -> None:
        if self._closed:
            raise NotLoaded
        super()._open()
