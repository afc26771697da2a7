"""From the cookie to a session: every outcome that a token can have.

Verification comes before any I/O: what fails it costs no store command. Then the record is
loaded by the handle, authenticated, held to its deadlines, and the secret's hash is compared.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import Final

from sessionstore.core import expiry, record
from sessionstore.core.assurance import NONE, Limits
from sessionstore.core.errors import RecordUnreadable
from sessionstore.core.flow import Flow
from sessionstore.core.record import Record
from sessionstore.core.sealing import Sealer
from sessionstore.core.state import State, Status
from sessionstore.core.token import Token, TokenSigner, secret_hash
from sessionstore.core.verbs import Entry, Verbs

AMBIGUOUS_COOKIE: Final = "ambiguous_cookie"
BAD_SECRET: Final = "bad_secret"  # noqa: S105 (the name of a report)
TOKEN_REUSE: Final = "token_reuse"  # noqa: S105
UNREADABLE: Final = "unreadable_record"


class Opening:
    """The flows that begin and load a session."""

    def __init__(
        self, verbs: Verbs, signer: TokenSigner, sealer: Sealer, limits: Limits = NONE
    ) -> None:
        self._verbs = verbs
        self._signer = signer
        self._sealer = sealer
        self._limits = limits

    def begin(
        self, cookies: Iterable[str], now: float, loader: Callable[[State], None] | None = None
    ) -> State:
        """A session for these cookies, without I/O: *new*, or *unloaded* if a token is valid."""
        token, ambiguous = self._signer.newest(cookies, now)
        state = State(token, loader)
        if ambiguous:
            state.report(AMBIGUOUS_COOKIE)
        return state

    def load(self, state: State, now: float) -> Flow[None]:
        """Find out what an unloaded session is; one store command.

        A second one where the record comes from a copy that may be behind, and would be refused:
        somebody who has logged in a moment ago must not be taken for logged out.
        """
        if state.status is not Status.UNLOADED or state.token is None:
            return
        key = self._verbs.key(state.token.handle)
        entry = yield from self._verbs.load(key)
        if entry is not None and entry.may_lag and not self._is_current(state, entry, now):
            entry = yield from self._verbs.reload(key)
        state.failure = None
        if entry is None:
            _become_new(state)
            return
        try:
            found = self._decode(entry, state.token)
        except RecordUnreadable as error:
            state.status = Status.VOID
            state.report(f"{UNREADABLE}:{error.reason}")
            return
        self._compare(state, found, entry, now)

    def _is_current(self, state: State, entry: Entry, now: float) -> bool:
        assert state.token is not None  # noqa: S101 (it is being loaded)
        try:
            found = self._decode(entry, state.token)
        except RecordUnreadable:
            return False  # the primary's is looked at, and that one's error is told
        return not is_over(found, now) and holds_current_secret(state, found)

    def _decode(self, entry: Entry, token: Token) -> Record:
        return self._limits.hold(record.decode(entry.value, token.handle, self._sealer))

    def _compare(self, state: State, found: Record, entry: Entry, now: float) -> None:
        if is_over(found, now):
            _become_new(state)
        elif holds_current_secret(state, found):
            _become_loaded(state, found, entry, proven=True)
        elif not _holds_previous_secret(state, found):
            state.report(BAD_SECRET)
            _become_new(state)
        elif found.previous is not None and now < found.previous.grace_until:
            _become_loaded(state, found, entry, proven=False)
        else:
            state.status = Status.VOID
            state.report(TOKEN_REUSE)


def is_over(found: Record, now: float) -> bool:
    """Whether the record's own deadlines have passed, whatever the store's TTL says."""
    return expiry.remaining(found.touched, found.idle, found.absolute, now) <= 0


def holds_current_secret(state: State, found: Record) -> bool:
    """Whether the client's token is the one whose hash the record holds."""
    if state.token is None:
        return False
    return hmac.compare_digest(secret_hash(state.token.secret), found.secret_hash)


def _holds_previous_secret(state: State, found: Record) -> bool:
    if state.token is None or found.previous is None:
        return False
    prefix = secret_hash(state.token.secret)[: len(found.previous.hash)]
    return hmac.compare_digest(prefix, found.previous.hash)


def _become_new(state: State) -> None:
    # The token is forgotten: a client can never choose a handle.
    state.status = Status.NEW
    state.token = None
    state.permanent = False


def _become_loaded(state: State, found: Record, entry: Entry, *, proven: bool) -> None:
    state.status = Status.LOADED
    state.record = found
    state.version = entry.version
    state.may_lag = entry.may_lag
    state.baseline = found.attributes
    state.deadlines = found.idle, found.absolute
    state.proven = proven
