"""Destroying a session: a delete by version, so that it never ends somebody else's."""

from __future__ import annotations

from sessionstore.core import record
from sessionstore.core.cookies import Cookie
from sessionstore.core.durability import executed
from sessionstore.core.errors import (
    ConflictUnresolved,
    DeadlineExceeded,
    OutcomeUnknown,
    RecordUnreadable,
    StoreError,
)
from sessionstore.core.flow import Flow
from sessionstore.core.opening import Opening
from sessionstore.core.sealing import Sealer
from sessionstore.core.state import State, Status
from sessionstore.core.verbs import Conflict, Deleted, Missing, Verbs, Version


class Ending:
    """The flows that delete a session."""

    def __init__(self, verbs: Verbs, opening: Opening, sealer: Sealer) -> None:
        self._verbs = verbs
        self._opening = opening
        self._sealer = sealer

    def destroy(self, state: State, now: float) -> Flow[Cookie | None]:
        """Delete the session if it is this client's: the secret is checked first.

        :return: to delete the cookie; None where there was nothing of this client's to delete
        :raises ConflictUnresolved: it could not be deleted by the deadline
        """
        if state.status is Status.UNLOADED:
            yield from self._opening.load(state, now)
        if state.status is not Status.LOADED:
            state.destroyed = False
            return None
        token, deleted = state.token, (yield from self._delete_ours(state))
        self.forget(state)
        if not deleted:
            # The browser may hold the new session's cookie by now: no other may overwrite it.
            state.status, state.token = Status.VOID, token
            return None
        return Cookie(None)

    def _delete_ours(self, state: State) -> Flow[bool]:
        """Delete whatever this session has become, unless somebody has logged in or out of it."""
        # It is loaded.
        assert state.record is not None and state.version is not None and state.token is not None  # noqa: S101
        key = self._verbs.key(state.token.handle)
        epoch, version, conflict = state.record.epoch, state.version, False
        while True:
            try:
                result = yield from self.delete(state, key, version)
            except DeadlineExceeded as error:
                if conflict:
                    raise ConflictUnresolved("other writers won until the deadline") from error
                raise
            if not isinstance(result, Conflict):
                return True
            try:
                theirs = record.decode(result.entry.value, state.token.handle, self._sealer)
            except RecordUnreadable as error:
                raise ConflictUnresolved(f"the session cannot be deleted: {error}") from error
            if theirs.epoch != epoch:
                return False
            version, conflict = result.entry.version, True

    def delete(
        self, state: State, key: bytes, version: Version
    ) -> Flow[Deleted | Conflict | Missing]:
        """Delete by version. After a lost reply once more: what is missing then was deleted."""
        verbs = self._verbs.critical
        try:
            return (yield from executed(verbs.delete(key, version), state))
        except OutcomeUnknown as lost:
            try:
                result = yield from executed(verbs.delete(key, version), state)
            except StoreError as error:
                raise lost from error
            return Deleted() if isinstance(result, Missing) else result

    def forget(self, state: State) -> None:
        """There is no session any more; what is written from now on begins another."""
        state.status = Status.NEW
        state.record = state.version = state.token = None
        state.proven = state.destroyed = False
        state.cleared = state.leftover = False
        state.baseline, state.originals, state.deadlines = {}, {}, None
