"""What is known of one request's session: where it came from, what was read, what was asked for.

Adapters and flows share this; applications see it through :class:`~.session.Session` (or
Django's ``SessionBase``). It holds no attribute values of its own but the ones first read: the
values live in the framework's mapping, and are compared with these at commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from sessionstore.core import codec
from sessionstore.core.errors import (
    HeadersAlreadySent,
    NotLoaded,
    StoreError,
    UnstorableValue,
)
from sessionstore.core.merge import NOTHING, Delta
from sessionstore.core.record import MAX_SUBJECT_BYTES, Record
from sessionstore.core.token import Token
from sessionstore.core.verbs import Version


class Status(Enum):
    """What the token has turned out to be."""

    UNLOADED = "unloaded"
    """Its signature is good; nobody has asked for the record yet."""
    NEW = "new"
    """No session: empty, and stored only if the app writes."""
    LOADED = "loaded"
    VOID = "void"
    """Reads as empty, sets and deletes no cookie, destroys nothing; a write is refused."""
    UNAVAILABLE = "unavailable"
    """The store failed and the site prefers pages without sessions to errors."""


_NOTHING: Final = object()


class Part(dict[str, Any]):
    """Some of a session's values: what is not among them was not removed, but never looked at."""

    __slots__ = ()


class Lifetime(NamedTuple):
    """What an app or framework asked for explicitly.

    :param idle: seconds without activity
    :param absolute: seconds since the epoch, or None: the configured absolute timeout
    :param browser: whether the cookie ends with the browser
    """

    idle: float
    absolute: float | None = None
    browser: bool = False


class State:
    """One request's session, without its values.

    :param token: what the client sent and the signature vouches for, or None
    :param loader: loads the record, for frameworks that read synchronously (given the state, so
        that the state need not be part of it: a cycle would be left for the garbage collector);
        None: it must have been loaded before it is read
    """

    __slots__ = (
        "accessed",
        "assigned",
        "baseline",
        "changes_hands",
        "cleared",
        "deadlines",
        "destroyed",
        "dirty",
        "failure",
        "headers_sent",
        "leftover",
        "lifetime",
        "loader",
        "login",
        "may_lag",
        "minted",
        "modified",
        "originals",
        "permanent",
        "proven",
        "record",
        "reports",
        "rotate",
        "rotate_unless_recent",
        "status",
        "token",
        "version",
    )

    def __init__(self, token: Token | None, loader: Callable[[State], None] | None = None) -> None:
        self.status = Status.NEW if token is None else Status.UNLOADED
        self.token = token
        self.loader = loader
        self.record: Record | None = None
        self.version: Version | None = None
        # What the application's mapping encoded to when it was last equal to ours; never changed,
        # but replaced.
        self.baseline: dict[str, bytes] = {}
        self.originals: dict[str, Any] = {}
        # The idle timeout and the absolute deadline, as the application has seen them. `record`
        # may be another request's already, which a commit that failed then has met.
        self.deadlines: tuple[float, float] | None = None
        # Whether the token holds the record's current secret, and whether this request made it.
        self.proven = False
        self.minted = False
        # Whether the record was read from a copy that may be behind, so that a newer token than
        # this client's may exist. A write finds out: it is a compare-and-set on the primary.
        self.may_lag = False
        self.headers_sent = False
        self.failure: StoreError | None = None
        self.reports: list[tuple[str, str | None]] = []
        # What the application did. `dirty` is `modified` since the last commit; `assigned` are
        # the names it set, be it to equal values.
        self.accessed = False
        self.modified = False
        # What the application asked for.
        self.permanent = token is not None and token.permanent
        self.lifetime: Lifetime | None = None
        self.destroyed = False
        # Whether the application's values are those of a session that this request has ended.
        self.leftover = False
        self.settled()

    def settled(self) -> None:
        """Whatever was asked for has been done (or dropped): nothing is outstanding."""
        self.dirty = False
        self.assigned: set[str] = set()
        self.cleared = False
        self.rotate = False
        self.rotate_unless_recent = False
        self.login: str | None = None
        self.lifetime = None
        # Whether the commit under way signs somebody in or out, by whichever way it was asked.
        self.changes_hands = False

    @property
    def asks_something(self) -> bool:
        """Whether the application has asked for anything, beside what its values show."""
        return (
            self.dirty
            or self.destroyed
            or self.cleared
            or self.rotate
            or self.rotate_unless_recent
            or self.login is not None
            or self.lifetime is not None
        )

    def ensure_loaded(self) -> None:
        """Load now if nobody has, or raise what loading raised before."""
        if self.failure is not None and self.status is not Status.UNAVAILABLE:
            raise self.failure
        if self.status is Status.UNLOADED:
            if self.loader is None:
                raise NotLoaded
            self.loader(self)

    def report(self, what: str) -> None:
        """Something that an operator may want to count, about the token as it is now."""
        self.reports.append((what, None if self.token is None else self.token.handle))

    # -- what it is --

    @property
    def handle(self) -> str | None:
        """The session's public id: 16 characters; None while nothing is stored."""
        if self.record is None or self.token is None or self.destroyed:
            return None
        return self.token.handle

    @property
    def subject(self) -> str | None:
        """Whose session it is (or will be at commit)."""
        if self.login is not None:
            return self.login
        if self.record is None or self.destroyed or self.cleared:
            return None
        return self.record.subject

    # -- what the application does --

    def mark_modified(self) -> None:
        """A mutating call was made.

        :raises HeadersAlreadySent: it would begin a session whose cookie cannot be sent any more
        """
        begins = self.status is Status.NEW or self.destroyed
        if self.headers_sent and begins:
            raise HeadersAlreadySent(
                "the response has begun, so a new session's cookie cannot be sent:"
                " write to the session before the first byte of the response"
            )
        self.accessed = self.modified = self.dirty = True

    def mark_login(self, user_id: object) -> None:
        """The session is to become this user's, under a new secret.

        :raises HeadersAlreadySent: the new token could not be sent
        :raises ValueError: the id is empty or longer than a record's subject may be
        """
        subject = str(user_id)
        if user_id is None or not subject or is_too_long(subject):
            raise ValueError(f"login() needs a user id of 1 to {MAX_SUBJECT_BYTES} bytes as text")
        self._require_cookie("login()")
        if self.failure is not None:
            raise self.failure
        self.mark_modified()
        self.login = subject

    def mark_rotate(self, *, unless_recent: bool = False) -> None:
        """The session is to get a new secret (a step-up, a change of privileges).

        :param unless_recent: but not while the secret before is still in its grace
        :raises HeadersAlreadySent: the new token could not be sent
        """
        self._require_cookie("rotate()")
        self.accessed = True
        if unless_recent:
            self.rotate_unless_recent = True
        else:
            self.rotate = True

    def mark_destroyed(self) -> None:
        """The session is to be deleted; what is written from now on begins another."""
        self.settled()
        self.accessed = self.modified = self.destroyed = True
        self.baseline, self.originals = {}, {}

    def mark_cleared(self) -> None:
        """Everything goes, the subject included; what is written from now on replaces it."""
        self.accessed = self.modified = self.dirty = True
        self.cleared = True
        self.login = None

    def _require_cookie(self, what: str) -> None:
        if self.headers_sent:
            raise HeadersAlreadySent(f"{what} needs to send a cookie, but the response has begun")

    # -- what changed --

    def decode_attributes(self) -> dict[str, Any]:
        """The attributes' values as loaded: the application's mapping begins with these."""
        self.originals = codec.decode_each(self.baseline)
        return self.originals.copy()

    def decode_into(self, part: Part, name: str) -> None:
        """Put one attribute's value among those that the application has, if there is one."""
        data = self.baseline.get(name)
        if data is not None:
            part[name] = self.originals[name] = codec.decode(data)

    def decode_rest(self, part: Part) -> dict[str, Any]:
        """All values, in their order: those that the application has, and what it has not seen."""
        baseline = self.baseline
        rest = codec.decode_each({name: baseline[name] for name in baseline if name not in part})
        self.originals.update(rest)
        return {name: part[name] if name in part else rest[name] for name in baseline} | part

    def delta(self, values: Mapping[str, Any]) -> Delta:
        """What changed since the values were last equal to the baseline.

        :param values: all that there are, or a :class:`Part` of them

        Everything that can have changed is encoded again and compared: containers, and whatever
        is not the very object that was read.

        :raises UnstorableValue: naming the path of a value that a session cannot hold
        """
        baseline, originals = ({}, {}) if self.cleared else (self.baseline, self.originals)
        changed = {}
        for name, value in values.items():
            # Whatever has an original has a baseline.
            if originals.get(name, _NOTHING) is value and type(value) in codec.IMMUTABLE:
                continue
            data = codec.encode(value, name)
            if data != baseline.get(name):
                changed[name] = data
        removed = NOTHING if type(values) is Part else baseline.keys() - values.keys()
        return Delta(changed, removed, self.cleared)

    def is_unchanged(self, values: Mapping[str, Any]) -> bool:
        """Whether :meth:`delta` would find nothing.

        :raises UnstorableValue: naming the path of a value that a session cannot hold
        """
        return not (values or self.baseline or self.cleared) or not self.delta(values)

    def has_changed(self, values: Mapping[str, Any]) -> bool:
        """Whether a value changed, be it one that cannot be stored."""
        try:
            return not self.is_unchanged(values)
        except UnstorableValue:
            return True

    def leave_behind(self, values: Mapping[str, Any]) -> None:
        """The session has ended, and the application still has its values: a session that this
        request may begin has what is set from now on, and none of these."""
        self.rebase(values, self.delta(values))
        self.leftover = True

    def rebase(self, values: Mapping[str, Any], delta: Delta) -> None:
        """The values are what is compared with from now on."""
        # What was read of the record is not changed: the record has it too.
        self.baseline = {} if delta.replaces else self.baseline.copy()
        if delta.replaces:
            self.originals = {}
        for name in delta.removed:
            self.baseline.pop(name, None)
            self.originals.pop(name, None)
        for name, data in delta.changed.items():
            self.baseline[name] = data
            self.originals[name] = values[name]


def is_too_long(subject: str) -> bool:
    """Whether a record has no room for it."""
    return len(subject.encode()) > MAX_SUBJECT_BYTES
