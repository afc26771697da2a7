"""One tree of errors. Every error carries what a handler needs; none carries a token or a value.

::

    SessionError
      ConfigurationError        wrong settings: at start-up, and the message says what to do
        MissingExtra            an optional dependency is not installed
      CodecError                bytes that do not decode
        UnstorableValue         (a TypeError) a value that would not come back the same
      RecordUnreadable          a stored record that this process cannot or must not read
      SessionTooLarge           over ``max_size``, seen before the network
      SessionGone               the session ended, or changed hands, during this request
      HeadersAlreadySent        the response has begun, and this needs a cookie
      NotLoaded                 read before ``await session.load()``
      StoreError
        StoreUnavailable        refused, timed out, loading...: try again later
          DeadlineExceeded      the operation's deadline has passed
        StoreRefused            credentials, permissions, TLS, wrong protocol: an operator must act
        StoreFull               writes refused, reads work
        OutcomeUnknown          a write was sent and its reply never came
        NotReplicated           a write was executed, and fewer copies of it exist than asked for
        ConflictUnresolved      the deadline passed in conflicts with other writers
"""

from __future__ import annotations

from typing import Any


class SessionError(Exception):
    """The base of every error this library raises."""


class ConfigurationError(SessionError, ValueError):
    """A setting that cannot work. Raised at start-up; the message says what to do."""


class MissingExtra(ConfigurationError, ImportError):
    """An optional dependency is not installed.

    :param feature: what needs it, for the message
    :param extra: the name of the extra to install
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra: pip install 'sessionstore[{extra}]'")
        self.extra = extra


class WeakSecretWarning(UserWarning):
    """A secret of fewer than 32 bytes: RFC 2104 and NIST SP 800-107 want the hash's length."""


class CodecError(SessionError, ValueError):
    """Bytes that are not an encoded value."""


class UnstorableValue(CodecError, TypeError):
    """A value that would not come back with the same value and type.

    :param path: where it is, as Python would write it: ``cart.items[3].price``
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"session value {path} cannot be stored: {why}")
        self.path = path


class RecordUnreadable(SessionError):
    """A stored record that must not be read; it is left alone.

    :param reason: ``"format"`` (a newer or unknown one), ``"key"`` (an unknown key id),
        ``"authenticator"`` (forged, altered, or another session's) or ``"malformed"``
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"unreadable session record: {reason}")
        self.reason = reason


class SessionTooLarge(SessionError):
    """The encoded session exceeds ``max_size``, or what the server takes; nothing was sent, the old
    record is intact.

    :param size: bytes it would need
    :param limit: bytes allowed
    :param largest: ``(attribute name, bytes)`` of the largest attributes; a store knows none
    """

    def __init__(self, size: int, limit: int, largest: tuple[tuple[str, int], ...]) -> None:
        names = ", ".join(f"{name!r} ({bytes_} B)" for name, bytes_ in largest)
        which = f"; largest: {names}" if names else ""
        super().__init__(f"session of {size} B exceeds the limit of {limit} B{which}")
        self.size = size
        self.limit = limit
        self.largest = largest


class SessionGone(SessionError):
    """The session was destroyed, or somebody logged in or out of it, during this request.

    This request's writes were dropped, and no cookie is set or deleted.

    :param handle: the session's public id
    """

    def __init__(self, handle: str, why: str) -> None:
        super().__init__(f"session {handle} is gone: {why}")
        self.handle = handle


class HeadersAlreadySent(SessionError):
    """The response has begun: a new session, ``login`` or ``rotate`` can set no cookie now."""


class NotLoaded(SessionError):
    """An asynchronous session was read before it was loaded."""

    def __init__(self) -> None:
        super().__init__("the session is not loaded yet: `await session.load()` first")


class StoreError(SessionError):
    """The store failed. Never an empty session, never a logout.

    :param node: which server, as ``host:port`` or a path, without credentials
    """

    def __init__(self, message: str, *, node: str | None = None) -> None:
        super().__init__(message if node is None else f"{message} ({node})")
        self.node = node


class StoreUnavailable(StoreError):
    """Refused, timed out, loading, no free connection: retried within the deadline, then this."""


class DeadlineExceeded(StoreUnavailable):
    """The operation's deadline has passed before this command could be sent."""


class StoreRefused(StoreError):
    """Wrong credentials, missing permission, TLS verification, wrong protocol. Not retried."""


class StoreFull(StoreError):
    """The server takes no writes (out of memory, disk error, too few replicas). Reads work."""


class OutcomeUnknown(StoreError):
    """A write was sent and its reply never came: it may or may not have been executed."""


class NotReplicated(StoreError):
    """A write was executed, but not confirmed by as many servers as was asked for.

    It is not undone. A session manager counts it as stored, and reports ``not_replicated``.

    :param reply: what the server said to the write itself
    """

    result: Any = None
    """What the write came to, as if nothing were missing."""

    def __init__(self, message: str, reply: Any = None, *, node: str | None = None) -> None:
        super().__init__(message, node=node)
        self.reply = reply


class ConflictUnresolved(StoreError):
    """Other writers won every attempt until the deadline. Nothing was written."""
