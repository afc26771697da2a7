"""What a session says of itself beside its values: the same in every framework."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime

from sessionstore.core.record import Record
from sessionstore.core.state import State, Status


class SessionFacts:
    """Properties over the state, for a framework's session class to inherit."""

    __slots__ = ()

    @abstractmethod
    def _read_state(self) -> State:
        """The state, loaded; whoever asks has read the session."""

    @property
    def handle(self) -> str | None:
        """Its public id: 16 characters, the same for its whole life; None while not stored."""
        return self._read_state().handle

    @property
    def subject(self) -> str | None:
        """Whose session it is, in every framework: the user's id as text; or None."""
        return self._read_state().subject

    @property
    def created(self) -> datetime | None:
        """When it was created, or its user last logged in (UTC); None while not stored."""
        record = self._record()
        return None if record is None else datetime.fromtimestamp(record.created, UTC)

    @property
    def authenticated(self) -> datetime | None:
        """When its user last logged in (UTC), or None."""
        record = self._record()
        if record is None or record.authenticated is None:
            return None
        return datetime.fromtimestamp(record.authenticated, UTC)

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored for it yet."""
        return self._record() is None

    @property
    def available(self) -> bool:
        """False if the store failed and the site serves pages without sessions."""
        return self._read_state().status is not Status.UNAVAILABLE

    def _record(self) -> Record | None:
        """What is stored for it; None after it was destroyed as well, where another may begin."""
        state = self._read_state()
        return None if state.destroyed else state.record
