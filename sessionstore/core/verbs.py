"""What the flows need of a store: four verbs over opaque bytes, and what they return.

A value begins with 1 byte of format and 12 bytes of revision; a store knows nothing else of
sessions. The whole contract, with its transport, is ``sessionstore.stores.base.Store``.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from sessionstore.core.flow import Flow

REVISION: Final = slice(1, 13)
"""Where every value holds its revision (compare-and-set by a fixed place)."""

Version = bytes | int
"""What compare-and-set compares: the revision in the value, or the server's own CAS number."""


class Entry(NamedTuple):
    """A stored value and the version to replace or delete it by.

    ``may_lag``: it comes from a copy that may be behind. To replace or delete by its version is
    safe all the same; to believe that it is current is not.
    """

    value: bytes
    version: Version
    may_lag: bool = False

    def __repr__(self) -> str:
        return f"<Entry {len(self.value)} B>"


class Exists(NamedTuple):
    """``create`` found the key taken."""


class Conflict(NamedTuple):
    """The version was not the current one. ``entry`` is what is there now."""

    entry: Entry


class Missing(NamedTuple):
    """There is no such key (any more)."""


class Deleted(NamedTuple):
    """``delete`` removed the key."""


class Verbs(Protocol):
    """The part of a store that a flow uses."""

    @property
    def critical(self) -> Verbs:
        """The same, for writes that should outlive a failover: logins, logouts, revocations."""

    def key(self, handle: str) -> bytes:
        """The key under which the session with this handle is kept."""

    def load(self, key: bytes) -> Flow[Entry | None]:
        """The entry, or None; where it ``may_lag``, another may be current."""

    def reload(self, key: bytes) -> Flow[Entry | None]:
        """The current entry, or None; never from a copy that may be behind."""

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        """Store a value under a key that must be free."""

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        """Store a value if the key still has this version. Never creates."""

    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        """Remove the key; with a version, only if it still has that one."""
