"""What each of a Django session's operations does, written once for sync and async.

A flow yields calls of the session manager; ``engine.py`` runs it with the manager's methods or with
their asynchronous twins. Decisions about sessions are the core's; here is only what Django's
contract adds: when something happens at once, and what becomes of ``session_key``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, SessionBase
from django.utils.module_loading import import_string

from sessionstore.core.cookies import Cookie
from sessionstore.core.errors import SessionGone, StoreError
from sessionstore.core.flow import Command, Flow
from sessionstore.core.merge import Delta
from sessionstore.core.state import Lifetime, State, Status
from sessionstore.django.configuration import get_manager
from sessionstore.django.errors import SessionDeleted
from sessionstore.manager import SessionManager

_EXPIRY = "_session_expiry"
_USER = "_auth_user_id"  # contrib.auth's SESSION_KEY, which is set by its login() alone


def _load(state: State) -> Command[None]:
    return Command(("load", (state,), {}))


def _save(state: State, values: dict[str, Any], *, force: bool) -> Command[Cookie | None]:
    return Command(("save", (state, values), {"force": force}), write=True)


class SessionFlows(SessionBase):
    """The operations as flows, and the state that they share."""

    _session_cache: dict[str, Any]
    _manager: SessionManager
    _state: State | None = None
    _state_key: str | None = None
    """The key that the state belongs to: whoever sets another key gets another session."""
    _loaded_alone: State | None = None
    """The state, if it was loaded for the sake of single values."""
    _pending: Cookie | None = None
    _unnoticed: Delta | None = None
    """What had changed when the app last said that nothing has (``modified = False``)."""
    _modified = False

    def __init__(self, session_key: str | None = None) -> None:
        # Not Django's own, which looks up a serializer that we have no use for, each time.
        self._session_key = session_key
        self.accessed = False

    @cached_property
    def serializer(self) -> Any:
        """What Django's ``encode()`` and ``decode()`` use; records have their own codec."""
        return import_string(settings.SESSION_SERIALIZER)

    # -- the state --

    def _begin(self, cookies: str | Iterable[str] | None) -> State:
        """Begin with these cookies, or with none; no I/O."""
        self._manager = get_manager()
        self._state = self._manager.begin_state(cookies, lazy=False)
        return self._state

    def _opened(self) -> State:
        """The state of the present key; nothing of the store's is known of it at first."""
        if self._state is None or self._session_key != self._state_key:
            self._state_key = self._session_key
            return self._begin(self._session_key)
        return self._state

    def _set_key(self, key: str | None) -> None:
        self._session_key = self._state_key = key

    def _loaded_values(self) -> dict[str, Any] | None:
        """The values, if they are at hand."""
        values: dict[str, Any] | None = self.__dict__.get("_session_cache")
        state, self._loaded_alone = self._loaded_alone, None
        if values is None and state is not None and state is self._opened():
            values = self._session_cache = state.decode_attributes()
        return values

    def _adopt(self, cookie: Cookie | None) -> None:
        """Take over the token that an operation made, and have it sent."""
        if cookie is None:
            return
        self._pending = cookie
        if cookie.value is not None and cookie.value != self._session_key:
            self._set_key(cookie.value)
            self._modified = True

    # -- reading --

    def _loading(self) -> Flow[State]:
        """The state, loaded. A key that is not a session's is forgotten."""
        state = self._opened()
        if state.destroyed:
            return state  # a logout that failed: the app sees an empty session all the same
        if state.failure is not None and state.status is not Status.UNAVAILABLE:
            raise state.failure  # this request has waited for the store once already
        if state.status is Status.UNLOADED:
            yield _load(state)
        if state.status is Status.NEW:
            self._set_key(None)
        return state

    def _reading(self) -> Flow[State]:
        """The state, with the values at hand."""
        state = yield from self._loading()
        if self._loaded_values() is None:
            self._session_cache = state.decode_attributes()
        return state

    def _fetching(self) -> Flow[dict[str, Any]]:
        """What ``load()`` returns: always what is stored by now."""
        if self._loaded_values() is None:
            if self._opened().status is not Status.UNLOADED:
                self._begin(self._session_key)
            state = yield from self._loading()
        else:
            # What the app has begun to change keeps the baseline that it began with.
            self._opened()
            state = self._manager.begin_state(self._session_key, lazy=False)
            yield _load(state)
        return state.decode_attributes()

    def _looking_up(self, key: str | None) -> Flow[bool]:
        self._manager = get_manager()
        state = self._manager.begin_state(key, lazy=False)
        yield _load(state)
        return state.status is Status.LOADED and state.proven

    # -- writing --

    def _committing(self, state: State) -> Flow[None]:
        self._notice_login(state)
        self._wish_lifetime(state)
        try:
            cookie: Cookie | None = yield _save(state, self._session_cache, force=True)
        except SessionGone as error:
            raise SessionDeleted(error.handle, str(error)) from error
        if state.status is Status.VOID:
            # Nothing was lost, but Django's middleware would go on to send the superseded token.
            raise SessionDeleted(_handle(state), f"session {_handle(state)} was superseded")
        self._unnoticed = None
        self._adopt(cookie)

    def _saving(self, *, must_create: bool = False) -> Flow[None]:
        if must_create:
            state = yield from self._loading()
            if state.status in (Status.LOADED, Status.VOID):
                raise CreateError
        state = yield from self._reading()
        yield from self._committing(state)

    def _creating(self) -> Flow[None]:
        if self._loaded_values() is None:
            self._session_cache = {}
        self._set_key(None)
        yield from self._committing(self._begin(None))

    def _cycling(self, *, unless_recent: bool = False) -> Flow[None]:
        state = yield from self._reading()
        if state.status is Status.VOID:
            return  # a login may follow: it begins a session of its own
        if state.status is Status.LOADED:
            # Where two servers took turns, no token would live as long as a slow request.
            state.mark_rotate(unless_recent=unless_recent)
        ours = self._names_set(state)
        try:
            yield from self._committing(state)
        except SessionDeleted:
            # A login may follow here too, and begins with what this request has set.
            self._keep_only(ours)
            state.assigned |= ours

    def _notice_login(self, state: State) -> None:
        """``contrib.auth`` has just authenticated the user whom the session has already."""
        name = self._manager.config.subject_key
        if name == _USER and name in state.assigned and state.login is None:
            user_id = self._session_cache.get(name)
            if user_id and user_id == state.originals.get(name):
                state.mark_login(user_id)

    def _logging_in(self, user_id: object) -> Flow[None]:
        state = yield from self._reading()
        before = state.subject
        state.mark_login(user_id)
        if before is not None and before != state.subject:
            self._keep_only(self._names_set(state))
        yield from self._committing(state)

    def _names_set(self, state: State) -> set[str]:
        """What this request has set, be it to equal values."""
        return state.delta(self._session_cache).changed.keys() | state.assigned

    def _keep_only(self, names: set[str]) -> None:
        for name in self._session_cache.keys() - names:
            del self._session_cache[name]

    # -- ending --

    def _flushing(self) -> Flow[None]:
        state = self._opened()
        self._session_cache = {}
        self.accessed = self._modified = True
        state.mark_destroyed()
        try:
            # None: there was nothing of this client's to delete, and its cookie is left alone.
            self._pending = yield _save(state, {}, force=False)
        except StoreError:
            self._pending = Cookie(None)
            raise
        finally:
            self._set_key(None)

    def _deleting(self, key: str | None) -> Flow[None]:
        is_own = key is None or key == self._session_key
        proof_needed = key is not None
        key = self._session_key if key is None else key
        if not key:
            return
        self._manager = get_manager()
        state = self._manager.begin_state(key, lazy=False)
        state.mark_destroyed()  # before loading: what cannot be deleted now is an error
        yield _load(state)
        if state.status is not Status.LOADED or (proof_needed and not state.proven):
            return
        yield _save(state, {}, force=False)
        if is_own:
            self._opened().dirty = True  # so that a save after this is told that it comes too late

    # -- at the end of a request --

    def _finishing(self, *, save: bool) -> Flow[None] | None:
        """What our middleware does, or None: in most requests there is nothing to save."""
        if not save or self.is_empty():
            return None
        if self.modified:
            return self._saving()
        return self._touching() if settings.SESSION_SAVE_EVERY_REQUEST else None

    def _touching(self) -> Flow[None]:
        state = yield from self._reading()
        if state.status is Status.LOADED:
            yield from self._committing(state)

    def _cookie_to_send(self) -> Cookie | None:
        """The last operation's cookie, unless another request has made it worthless since."""
        cookie, state = self._pending, self._state
        if cookie is None or cookie.value is None or state is None:
            return cookie
        unproven = state.status is Status.LOADED and not state.proven
        return None if unproven or state.status is Status.VOID else cookie

    # -- lifetimes --

    def get_session_cookie_age(self) -> int:
        """Seconds: ``SESSION_COOKIE_AGE``, or less where an assurance level wants less."""
        return int(min(super().get_session_cookie_age(), get_manager().config.limits.idle))

    def _wish_lifetime(self, state: State) -> None:
        """An explicit wish only where this request makes one: a session keeps its timeouts."""
        values, before = self._session_cache, state.originals
        expiry = values.get(_EXPIRY)
        changed = state.cleared or expiry != before.get(_EXPIRY)
        if state.record is None or changed or (expiry is not None and self._signs_in(state)):
            state.lifetime = self._lifetime(expiry)

    def _signs_in(self, state: State) -> bool:
        name = self._manager.config.subject_key
        if state.login is not None or name is None:
            return state.login is not None
        return self._session_cache.get(name) != state.originals.get(name)

    def _lifetime(self, expiry: Any) -> Lifetime:
        """What ``set_expiry`` means.

        :param expiry: None, 0 (until the browser closes), seconds of inactivity, or a moment
        """
        if not expiry:
            by_default = settings.SESSION_EXPIRE_AT_BROWSER_CLOSE
            return Lifetime(
                self.get_session_cookie_age(), browser=by_default if expiry is None else True
            )
        if isinstance(expiry, str | datetime):
            # Django cuts the age to whole seconds; the moment itself is the limit.
            age = self.get_expiry_age(expiry=expiry) + 1
            moment = expiry if isinstance(expiry, datetime) else datetime.fromisoformat(expiry)
            return Lifetime(age, absolute=moment.timestamp())
        return Lifetime(expiry)


def _handle(state: State) -> str:
    return "?" if state.token is None else state.token.handle
