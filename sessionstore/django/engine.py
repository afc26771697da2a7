"""``SessionStore``: Django's session, kept by sessionstore.

``session_key`` is the token, a credential of 111 characters; ``handle`` (16 characters) is the
session's public name. ``create``, ``save``, ``cycle_key``, ``flush`` and our own ``login``,
``rotate`` and ``destroy`` act at once, and ``session_key`` is the new one when they return.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase

from sessionstore.core import codec
from sessionstore.core.cookies import Cookie
from sessionstore.core.errors import StoreError, UnstorableValue
from sessionstore.core.facts import SessionFacts
from sessionstore.core.flow import Command, Flow, arun, run
from sessionstore.core.merge import Delta
from sessionstore.core.state import State, Status
from sessionstore.django.configuration import get_manager
from sessionstore.django.flows import SessionFlows
from sessionstore.stores.base import Purgeable

_NO_CHANGE: Final = Delta()
_UNSEEN: Final = object()

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def _alters_data(method: F) -> F:
    """A template that names this method does not call it."""
    method.alters_data = True  # type: ignore[attr-defined]  # Django's protocol for templates
    return method


class SessionStore(SessionFacts, SessionFlows):
    """A session of Django's, with everything that ``SessionBase`` documents.

    :param session_key: a token, or None; whatever is not a valid one is quietly unknown
    """

    failure: StoreError | None = None
    """What the store last answered instead of doing its work, if anything."""

    @classmethod
    def from_cookies(cls, values: Iterable[str]) -> SessionStore:
        """The session of a request that sent these cookies: of several valid ones, the newest."""
        session = cls()
        token = session._begin(values).token
        session._set_key(None if token is None else token.text)
        return session

    # -- running the flows --

    def _run(self, flow: Flow[T]) -> T:
        try:
            return run(flow, self._execute)
        except StoreError as error:
            self.failure = error
            raise

    async def _arun(self, flow: Flow[T]) -> T:
        try:
            return await arun(flow, self._aexecute)
        except StoreError as error:
            self.failure = error
            raise

    def _execute(self, command: Command[Any]) -> Any:
        name, arguments, options = command.request
        return getattr(self._manager, name)(*arguments, **options)

    def _aexecute(self, command: Command[Any]) -> Awaitable[Any]:
        name, arguments, options = command.request
        awaitable: Awaitable[Any] = getattr(self._manager, f"a{name}")(*arguments, **options)
        return awaitable

    # -- what SessionBase asks for --

    def exists(self, session_key: str | None) -> bool:
        """Whether this is the current token of a live session."""
        return self._run(self._looking_up(session_key))

    async def aexists(self, session_key: str | None) -> bool:
        return await self._arun(self._looking_up(session_key))

    def create(self) -> None:
        """Begin a session of its own and store it, with the values that are at hand."""
        self._run(self._creating())

    async def acreate(self) -> None:
        await self._arun(self._creating())

    def save(self, must_create: bool = False) -> None:
        """Store what has changed; a new session even if it is empty.

        :param must_create: raise ``CreateError`` if the session is stored already
        :raises SessionDeleted: (an ``UpdateError``) it has ended, or changed hands, meanwhile
        """
        self._run(self._saving(must_create=must_create))

    async def asave(self, must_create: bool = False) -> None:
        await self._arun(self._saving(must_create=must_create))

    def delete(self, session_key: str | None = None) -> None:
        """Delete the session of this token, or this one; nothing if the token is not current."""
        self._run(self._deleting(session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        await self._arun(self._deleting(session_key))

    def load(self) -> dict[str, Any]:
        """The stored values, in a dict of their own."""
        return self._run(self._fetching())

    async def aload(self) -> dict[str, Any]:
        return await self._arun(self._fetching())

    @_alters_data
    def cycle_key(self) -> None:
        """Give the session a new secret, keeping its handle: one atomic write.

        With ``SECRET_KEY_FALLBACKS``, once in ``ROTATION_GRACE`` at most: ``contrib.auth`` calls it
        whenever it meets a hash of another server's key. :meth:`rotate` is not throttled.
        """
        self._run(self._cycling(unless_recent=bool(settings.SECRET_KEY_FALLBACKS)))

    @_alters_data
    async def acycle_key(self) -> None:
        await self._arun(self._cycling(unless_recent=bool(settings.SECRET_KEY_FALLBACKS)))

    @_alters_data
    def flush(self) -> None:
        """End the session. What is written from now on begins another.

        :raises StoreError: it could not be deleted; ``session_key`` is None all the same
        """
        self._run(self._flushing())

    @_alters_data
    async def aflush(self) -> None:
        await self._arun(self._flushing())

    @classmethod
    def clear_expired(cls) -> None:
        """Delete expired sessions, in a store that does not do so by itself."""
        store = get_manager().store
        if isinstance(store, Purgeable):
            for _ in store.purge():
                pass

    @classmethod
    async def aclear_expired(cls) -> None:
        if isinstance(get_manager().store, Purgeable):  # purging is synchronous, in any store
            await sync_to_async(cls.clear_expired)()

    # -- what an app asks for beyond that --

    @_alters_data
    def login(self, user_id: object) -> None:
        """Make it this user's, at once, under a new secret.

        Another user's values do not stay; an anonymous visitor's do. ``django.contrib.auth``'s
        users need ``django.contrib.auth.login``, which has the same effect here.

        :param user_id: any object whose text is 1 to 1024 bytes and identifies the user
        """
        self._run(self._logging_in(user_id))

    @_alters_data
    async def alogin(self, user_id: object) -> None:
        await self._arun(self._logging_in(user_id))

    @_alters_data
    def logout(self) -> None:
        """:meth:`flush`, by the name that it has in every framework; so is :meth:`destroy`."""
        self.flush()

    @_alters_data
    async def alogout(self) -> None:
        await self.aflush()

    @_alters_data
    def rotate(self) -> None:
        """Give the session a new secret in any case (a step-up, a change of privileges)."""
        self._run(self._cycling())

    @_alters_data
    async def arotate(self) -> None:
        await self._arun(self._cycling())

    destroy, adestroy = logout, alogout

    def _read_state(self) -> State:
        """In asynchronous code, await any other method first: this loads synchronously."""
        self.accessed = True
        return self._run(self._reading())

    # -- for our middleware --

    def finish(self, *, save: bool) -> Cookie | None:
        """Save at the end of a request, if there is anything to save.

        :param save: False after a server error, as in Django's middleware
        :return: what becomes of the cookie; None: send nothing
        """
        flow = self._finishing(save=save)
        if flow is not None:
            self._run(flow)
        return self._cookie_to_send()

    async def afinish(self, *, save: bool) -> Cookie | None:
        flow = self._finishing(save=save)
        if flow is not None:
            await self._arun(flow)
        return self._cookie_to_send()

    def cookie_after_failure(self) -> Cookie | None:
        """What becomes of the cookie if :meth:`finish` has failed."""
        return self._cookie_to_send()

    # -- single values --

    def __getitem__(self, key: str) -> Any:
        value = self._alone(key)
        return super().__getitem__(key) if value is _UNSEEN else value

    def get(self, key: str, default: Any = None) -> Any:
        value = self._alone(key)
        return super().get(key, default) if value is _UNSEEN else value

    def _alone(self, key: str) -> Any:
        """One value, where nothing has asked for all of them yet; else what says: ask for all.

        Only one that cannot be changed in place, so that nobody has to look whether it was. Who
        is logged in, and most of what is asked of a session, is such a value.
        """
        if "_session_cache" in self.__dict__ or type(self).load is not SessionStore.load:
            return _UNSEEN
        self.accessed = True
        if self._session_key is None:
            return _UNSEEN
        state = self._opened()
        if state is not self._loaded_alone:
            if state.status is not Status.UNLOADED:
                return _UNSEEN  # an app has dropped the values, to have them read anew
            self._loaded_alone = self._run(self._loading())
        data = state.baseline.get(key)
        value = _UNSEEN if data is None else codec.decode(data)
        return value if type(value) in codec.IMMUTABLE else _UNSEEN

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        if not no_load:
            self._loaded_values()
        values: dict[str, Any] = super()._get_session(no_load)  # type: ignore[misc]
        return values

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        if not no_load:
            self._loaded_values()
        values: dict[str, Any] = await super()._aget_session(no_load)  # type: ignore[misc]
        return values

    _session = property(_get_session)

    # -- what has changed --

    @property
    def session_key(self) -> str | None:
        """The token. A page that shows anything of it differs from client to client."""
        self.accessed = True
        return self._session_key

    @property
    def modified(self) -> bool:
        """Whether anything was changed, also inside a nested value."""
        return self._modified or self._has_changed()

    @modified.setter
    def modified(self, value: bool) -> None:
        self._modified = value
        if value:
            self._opened().mark_modified()
        else:
            self._unnoticed = self._delta()

    def _has_changed(self) -> bool:
        try:
            delta, unnoticed = self._delta(), self._unnoticed
            return bool(delta) if unnoticed is None else delta != unnoticed
        except UnstorableValue:
            return True

    def _delta(self) -> Delta:
        values = self.__dict__.get("_session_cache")
        if values is None or (self._state is None and not values):
            return _NO_CHANGE
        return self._opened().delta(values)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._opened().assigned.add(key)

    async def aset(self, key: str, value: Any) -> None:
        await super().aset(key, value)
        self._opened().assigned.add(key)

    def update(self, dict_: Any) -> None:  # type: ignore[override]  # pairs as well
        new = dict(dict_)
        super().update(new)
        self._opened().assigned.update(new)

    async def aupdate(self, dict_: Any) -> None:
        new = dict(dict_)
        await super().aupdate(new)
        self._opened().assigned.update(new)

    def clear(self) -> None:
        """Empty it, the login included; the session itself stays."""
        super().clear()
        self._opened().mark_cleared()

    if hasattr(SessionBase, "__bool__"):  # since Django 6.1

        def __bool__(self) -> bool:
            """Whether there is a session; who asks gets an answer that depends on the cookie."""
            self.accessed = True
            return not self.is_empty()
