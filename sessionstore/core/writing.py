"""Storing a session: create it, or replace its record by compare-and-set.

A conflict is met at once, without jitter (a delay only makes the entry stale): this request's
changes are applied to what is stored by then, until the deadline. A lost reply is met by the
same bytes again: the store's compare-and-set cannot do them twice, and a conflict whose record
lists our write id is our own success.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final, NamedTuple

from sessionstore.core import expiry, merge, record, rotation
from sessionstore.core.config import DEFAULT_ABSOLUTE_TIMEOUT, SessionConfig
from sessionstore.core.cookies import Cookie
from sessionstore.core.durability import executed
from sessionstore.core.ending import Ending
from sessionstore.core.errors import (
    ConflictUnresolved,
    DeadlineExceeded,
    HeadersAlreadySent,
    OutcomeUnknown,
    RecordUnreadable,
    StoreError,
)
from sessionstore.core.flow import Flow
from sessionstore.core.intent import Intent, Request
from sessionstore.core.opening import UNREADABLE, holds_current_secret, is_over
from sessionstore.core.record import Record
from sessionstore.core.sealing import Sealer
from sessionstore.core.state import State, Status
from sessionstore.core.token import (
    HANDLE_BYTES,
    LONG_LIVED,
    PERMANENT,
    Token,
    TokenSigner,
    handle_text,
)
from sessionstore.core.verbs import Conflict, Deleted, Exists, Missing, Verbs, Version

_CREATE_ATTEMPTS: Final = 3
_REPEATS: Final = 2


class Lost(Enum):
    """Why a replace cannot go on."""

    GONE = "destroyed, or another epoch"
    UNPROVEN = "another request has rotated the secret meanwhile"


class _Stored(NamedTuple):
    record: Record
    version: Version


class Writing:
    """The flows that store a session."""

    def __init__(
        self,
        verbs: Verbs,
        config: SessionConfig,
        signer: TokenSigner,
        sealer: Sealer,
        ending: Ending,
    ) -> None:
        self._verbs = verbs
        self._config = config
        self._signer = signer
        self._sealer = sealer
        self._ending = ending
        self._merge_functions = config.merge_functions
        own_limit = config.absolute_for(config.idle_timeout)
        # A token's timestamp counts whole seconds.
        self._plain_age = min(own_limit, DEFAULT_ABSOLUTE_TIMEOUT) + 1

    # -- create --

    def create(self, request: Request) -> Flow[Cookie | None]:
        """Begin a session with what this request set, under a handle that nobody chose."""
        state, now, entropy = request.state, request.now, request.entropy
        if state.headers_sent:
            raise HeadersAlreadySent("the response has begun: no cookie for a new session")
        attributes = request.own_attributes()
        verbs = self._verbs if request.intent.login is None else self._verbs.critical
        lost: OutcomeUnknown | None = None
        for _ in range(_CREATE_ATTEMPTS):
            handle, secret = handle_text(entropy(HANDLE_BYTES)), rotation.new_secret(entropy)
            begun = rotation.first(request.intent, attributes, self._config, secret, now, entropy)
            token = self._signer.mint(handle, secret, self._flags(state, begun, now), now)
            ttl = _ttl(begun, now)
            if ttl <= 0:
                # Over before it began: nothing to store, but a framework may want its cookie.
                state.rebase(request.values, request.intent.delta)
                return _cookie(token, begun, now)
            value = record.encode(begun, handle, self._sealer)
            try:
                key = self._verbs.key(handle)
                result = yield from executed(verbs.create(key, value, ttl), state)
            except OutcomeUnknown as error:
                lost = error  # perhaps it is stored, but nobody has its token: it will expire
                continue
            except StoreError as error:
                if lost is None:
                    raise
                raise lost from error
            if not isinstance(result, Exists):
                state.token, state.minted, state.proven = token, True, True
                self._settle(request, _Stored(begun, result))
                return _cookie(token, begun, now)
        raise lost or ConflictUnresolved("every new handle was taken: is the randomness broken?")

    # -- replace --

    def replace(self, request: Request) -> Flow[Cookie | Lost | None]:
        """One compare-and-set; on a conflict merged and tried again, until the deadline."""
        state, intent = request.state, request.intent
        assert state.record is not None and state.version is not None  # noqa: S101 (it is loaded)
        found, contested = _Stored(state.record, state.version), False
        while True:
            after, secret = self._successor(request, found.record)
            over = is_over(found.record, request.now)
            try:
                result = yield from self._send(request, after, found.version, over=over)
            except DeadlineExceeded as error:
                if contested:
                    raise ConflictUnresolved("other writers won until the deadline") from error
                raise
            if isinstance(result, Deleted):
                if over and intent.writes:
                    return Lost.GONE
                self._ending.forget(state)
                state.leave_behind(request.values)
                return Cookie(None)
            if isinstance(result, _Stored):
                return self._replaced(request, result, after, secret)
            if not intent.writes:
                return None  # a touch: somebody else was active, or the session has ended
            theirs = self._meet(request, found.record, result)
            if theirs is None:
                return Lost.GONE
            found, contested = theirs, True
            state.record, state.version = theirs
            state.proven = holds_current_secret(state, theirs.record)
            if intent.changes_hands and not state.proven:
                return Lost.UNPROVEN

    def _successor(self, request: Request, found: Record) -> tuple[Record, bytes | None]:
        """The next record on top of what is stored, and its secret where that is new."""
        state, intent = request.state, request.intent
        attributes = self._attributes(intent, found)
        after = rotation.following(
            found, intent, attributes, self._config, request.now, request.entropy
        )
        if self._leaves_key_behind(state):
            # The next response is to find that a touch is due, and so to send the cookie anew.
            touched = request.now - self._config.touch_interval_for(after.idle)
            after = after._replace(touched=max(found.touched, touched))
        # A secret that this request has made and nobody has seen yet is as good as a new one.
        unseen = state.minted and not state.headers_sent
        asked = intent.rotate or (
            intent.rotate_unless_recent and not rotation.is_recent(found, request.now)
        )
        wanted = asked or (intent.changes_hands and not unseen)
        if not (wanted and state.proven):
            return after, None
        if state.headers_sent:
            raise HeadersAlreadySent("the response has begun: no cookie for a new secret")
        secret = rotation.new_secret(request.entropy)
        grace_until = request.now + self._config.rotation_grace
        return rotation.rotated(after, intent, secret, grace_until), secret

    def _leaves_key_behind(self, state: State) -> bool:
        """Whether the client's token is under a retired key, and cannot be sent anew now."""
        return state.headers_sent and state.proven and _held(state).stale_key

    def _attributes(self, intent: Intent, found: Record) -> dict[str, bytes]:
        merged = merge.apply(intent.delta, found.attributes, intent.seen, self._merge_functions)
        if intent.changes_user:
            return {name: data for name, data in merged.items() if name in intent.kept}
        if intent.changes_subject:
            for name in self._config.identity_keys:
                if name not in intent.kept:
                    merged.pop(name, None)
        return merged

    def _send(
        self, request: Request, after: Record, version: Version, *, over: bool
    ) -> Flow[_Stored | Deleted | Conflict | Missing]:
        """Replace, or delete what is over or was emptied.

        :param over: it ended while the request ran, and the store may still have it: its clock is
            not ours. Deleting by version cannot hit one that another request has prolonged.
        """
        token, ttl = _held(request.state), _ttl(after, request.now)
        key = self._verbs.key(token.handle)
        emptied = request.intent.writes and not after.attributes and after.subject is None
        if over or ttl <= 0 or (emptied and not self._config.keep_empty):
            return (yield from self._ending.delete(request.state, key, version))
        value = record.encode(after, token.handle, self._sealer)
        is_critical = request.intent.changes_hands or request.intent.rotates
        verbs = self._verbs.critical if is_critical else self._verbs
        lost: OutcomeUnknown | None = None
        for _ in range(1 + _REPEATS):
            try:
                write = verbs.replace(key, value, ttl, version)
                result = yield from executed(write, request.state)
            except OutcomeUnknown as error:
                lost = lost or error
                continue
            except StoreError as error:
                if lost is None:
                    raise
                raise lost from error
            if lost is not None and isinstance(result, Conflict):
                return self._recognise(request.state, after, result, lost)
            return result if isinstance(result, (Conflict, Missing)) else _Stored(after, result)
        assert lost is not None  # noqa: S101 (every way out of the loop but this one returns)
        raise lost

    def _recognise(
        self, state: State, after: Record, conflict: Conflict, lost: OutcomeUnknown
    ) -> _Stored:
        """A conflict after a lost reply: our own write, or nobody knows."""
        theirs = self._decode(state, conflict)
        if theirs is None or after.write_ids[0] not in theirs.write_ids:
            raise lost
        return _Stored(theirs, conflict.entry.version)

    def _meet(self, request: Request, found: Record, result: Conflict | Missing) -> _Stored | None:
        """What another request has stored meanwhile; None if the session is not ours any more."""
        if isinstance(result, Missing):
            return None
        theirs = self._decode(request.state, result)
        if theirs is None or theirs.epoch != found.epoch or is_over(theirs, request.now):
            return None
        return _Stored(theirs, result.entry.version)

    def _decode(self, state: State, conflict: Conflict) -> Record | None:
        try:
            theirs = record.decode(conflict.entry.value, _held(state).handle, self._sealer)
        except RecordUnreadable as error:
            state.report(f"{UNREADABLE}:{error.reason}")
            return None
        return self._config.limits.hold(theirs)

    # -- afterwards --

    def resend(self, state: State, now: float) -> Cookie | None:
        """The client's own token once more, if this request has seen that it is current."""
        if state.status is not Status.LOADED or state.record is None:
            return None
        if state.may_lag or not state.proven:
            return None
        return _cookie(_held(state), state.record, now)

    def _replaced(
        self, request: Request, stored: _Stored, ours: Record, secret: bytes | None
    ) -> Cookie | None:
        """The compare-and-set has won, and so proved whether this client's token is current."""
        state, after = request.state, stored.record
        self._settle(request, stored)
        if after.epoch != ours.epoch:
            # Our write lies beneath another's login or logout: nothing of theirs is ours to read.
            state.status, state.record = Status.VOID, None
            return None
        token = _held(state)
        if secret is not None:
            flags = self._flags(state, after, request.now)
            state.token = self._signer.mint(token.handle, secret, flags, request.now)
            state.minted = state.proven = True
            return _cookie(state.token, after, request.now)
        if after is not ours:  # the secret of ours is that of the record it was made from
            state.proven = holds_current_secret(state, after)
        if not state.proven:
            return None
        flags = self._flags(state, after, token.issued_at)
        if state.headers_sent:
            return None
        if token.stale_key or flags != token.flags:
            state.token = self._signer.sign_again(token, flags)
        elif after.browser and not request.intent.writes:
            return None  # only touched: a browser's cookie needs no new Max-Age
        return _cookie(_held(state), after, request.now)

    def _settle(self, request: Request, stored: _Stored) -> None:
        state = request.state
        state.status = Status.LOADED
        state.record, state.version = stored
        state.deadlines = stored.record.idle, stored.record.absolute
        state.may_lag = False
        state.rebase(request.values, request.intent.delta)

    def _flags(self, state: State, stored: Record, issued_at: float) -> int:
        long_lived = stored.absolute - issued_at > self._plain_age
        return (PERMANENT if state.permanent else 0) | (LONG_LIVED if long_lived else 0)


def _held(state: State) -> Token:
    assert state.token is not None  # noqa: S101 (a loaded session has one)
    return state.token


def _ttl(stored: Record, now: float) -> float:
    return expiry.remaining(stored.touched, stored.idle, stored.absolute, now)


def _cookie(token: Token, stored: Record, now: float) -> Cookie:
    return Cookie(token.text, None if stored.browser else math.ceil(_ttl(stored, now)))
