"""What one request wants of its session's record, and what it takes to commit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from sessionstore.core import codec
from sessionstore.core.config import SessionConfig
from sessionstore.core.errors import UnstorableValue
from sessionstore.core.merge import Delta
from sessionstore.core.record import MAX_SUBJECT_BYTES, Record
from sessionstore.core.state import Lifetime, State, Status, is_too_long

Entropy = Callable[[int], bytes]
"""Gives that many random bytes."""


class Intent(NamedTuple):
    """What one request wants of the record.

    :param base: the record that it read, or None
    :param deadlines: the idle timeout and the absolute deadline as it last saw them, or None
    :param seen: the attributes as it last saw them; a second commit of one request may have
        stored another request's changes beside its own, and those it has not seen
    :param delta: its changes to the attributes
    :param kept: names that survive another user's login, because this request set them
    :param login: the subject that it signs in, or None
    :param leaves: whether the subject goes (a logout that keeps the session)
    :param rotate: whether it asked for a new secret
    :param rotate_unless_recent: the same, but not while the secret before is still in its grace
    :param lifetime: what it asked for explicitly, or None
    :param changes_hands: whether it authenticates or signs out somebody: the epoch counts up
    :param writes: whether there is anything to store beyond a touch; an app that wrote may have
        written equal values
    """

    base: Record | None
    deadlines: tuple[float, float] | None
    seen: dict[str, bytes]
    delta: Delta
    kept: AbstractSet[str]
    login: str | None
    leaves: bool
    rotate: bool
    rotate_unless_recent: bool
    lifetime: Lifetime | None
    changes_hands: bool
    writes: bool

    def __repr__(self) -> str:
        return f"<Intent writes={self.writes} changes_hands={self.changes_hands}>"

    @property
    def changes_subject(self) -> bool:
        """Whether the session is another's (or nobody's) afterwards."""
        before = None if self.base is None else self.base.subject
        return self.leaves or (self.login is not None and self.login != before)

    @property
    def changes_user(self) -> bool:
        """Whether it goes from one user straight to another."""
        before = None if self.base is None else self.base.subject
        return self.login is not None and before is not None and self.login != before

    @property
    def rotates(self) -> bool:
        """Whether it asked for a new secret, in whichever way."""
        return self.rotate or self.rotate_unless_recent


class Request(NamedTuple):
    """A request at its commit: what it did, when, and where its randomness comes from."""

    state: State
    values: Mapping[str, Any]
    intent: Intent
    now: float
    entropy: Entropy

    def __repr__(self) -> str:
        return f"<Request {self.intent!r}>"

    def own_attributes(self) -> dict[str, bytes]:
        """What this request itself set: all that a session begins with."""
        changed = self.intent.delta.changed
        return {
            name: changed[name] if name in changed else codec.encode(self.values[name], name)
            for name in self.values
            if name in self.intent.kept
        }


def read_intent(state: State, values: Mapping[str, Any], config: SessionConfig) -> Intent:
    """Compare the values with what was read, and collect what was asked for.

    :raises UnstorableValue: naming the path of a value that a session cannot hold
    """
    delta, base = state.delta(values), state.record
    login, leaves = state.login, False
    if login is None:
        login, leaves = _follow_subject_key(state, delta, values, config.subject_key)
    changes_hands = login is not None or leaves
    rotates = state.rotate or state.rotate_unless_recent
    relives = state.lifetime is not None and base is not None
    # What a new session holds this request has put there, also before it was called unmodified.
    begins = state.status is Status.NEW and not state.leftover
    kept = values.keys() if begins else state.assigned & values.keys()
    return Intent(
        base=base,
        deadlines=state.deadlines,
        seen=state.baseline,
        delta=delta,
        kept=delta.changed.keys() | kept,
        login=login,
        leaves=leaves,
        rotate=state.rotate,
        rotate_unless_recent=state.rotate_unless_recent,
        lifetime=state.lifetime,
        changes_hands=changes_hands,
        writes=state.dirty or changes_hands or rotates or relives or bool(delta),
    )


def _follow_subject_key(
    state: State, delta: Delta, values: Mapping[str, Any], name: str | None
) -> tuple[str | None, bool]:
    """Who logs in, and whether somebody leaves, by the framework's own attribute."""
    signed_in = state.record is not None and state.record.subject is not None
    if name is not None and name in delta.changed:
        user_id = values[name]
        if user_id is None or user_id == "":
            return None, signed_in
        subject = str(user_id)
        if is_too_long(subject):
            raise UnstorableValue(name, f"a user id has at most {MAX_SUBJECT_BYTES} bytes as text")
        return subject, False
    leaves = state.cleared or (name is not None and name in delta.removed)
    return None, leaves and signed_in
