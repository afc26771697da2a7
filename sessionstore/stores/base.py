"""The store contract: four verbs over opaque bytes, each a flow.

A store moves values that begin with 1 byte of format and 12 bytes of revision, and knows
nothing else of sessions. "Not found" is a result; an error is always one of
:class:`~sessionstore.core.errors.StoreError`'s kinds.

To write a store: implement the four flows in terms of :class:`~sessionstore.core.flow.Command`,
and ``execute`` / ``aexecute``, which carry one command to the server and return the raw reply.
Then run ``sessionstore.testing.StoreContract`` over it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from sessionstore.core.errors import ConfigurationError
from sessionstore.core.flow import Command, Flow
from sessionstore.core.verbs import (
    REVISION,
    Conflict,
    Deleted,
    Entry,
    Exists,
    Missing,
    Verbs,
    Version,
)
from sessionstore.stores.health import NodeHealth

if TYPE_CHECKING:  # for the doctor alone
    from sessionstore.stores.facts import Facts

__all__ = [
    "DEFAULT_PREFIX",
    "DEFAULT_TIMEOUT",
    "REVISION",
    "Conflict",
    "Deleted",
    "Entry",
    "Enumerable",
    "Examinable",
    "Exists",
    "Missing",
    "NodeHealth",
    "Purgeable",
    "Sharded",
    "Store",
    "Verbs",
    "Version",
]

DEFAULT_PREFIX: Final = "session"
DEFAULT_TIMEOUT: Final = 0.5
"""Seconds that one operation may take in all: connecting, waiting, retries, redirects."""

_PREFIX = re.compile(r"[A-Za-z0-9_.{}:-]{1,64}")


class Store(ABC):
    """A place where sessions are kept.

    :param prefix: the first part of every key, and so the pattern of an ACL: 1 to 64 of
        ``A-Z a-z 0-9 _ . : - { }``
    :param timeout: seconds that one operation may take in all
    """

    def __init__(self, *, prefix: str = DEFAULT_PREFIX, timeout: float = DEFAULT_TIMEOUT) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ConfigurationError(
                f"prefix {prefix!r}: use 1 to 64 letters, digits or any of _ . : - {{ }}"
            )
        if not timeout > 0:
            raise ConfigurationError(f"timeout={timeout!r}: give seconds, more than 0")
        self.prefix = prefix
        self.timeout = timeout
        self._key_prefix = f"{prefix}:s:".encode()

    def key(self, handle: str) -> bytes:
        """The key under which the session with this handle is kept."""
        return self._key_prefix + handle.encode("ascii")

    @property
    def critical(self) -> Verbs:
        """The same verbs, for writes that should outlive a failover: logins, logouts, revocations.

        A store that can wait for copies raises ``NotReplicated`` where there are too few of them.
        """
        return self

    def health(self) -> tuple[NodeHealth, ...]:
        """What this process has seen of each server; without asking any. Empty: not recorded."""
        return ()

    # -- the four verbs. `ttl` is in seconds and positive; an expired entry is absent for all --

    @abstractmethod
    def load(self, key: bytes) -> Flow[Entry | None]:
        """The entry, or None for sure. An entry that ``may_lag`` may not be the current one."""

    def reload(self, key: bytes) -> Flow[Entry | None]:
        """The current entry, or None; for stores whose :meth:`load` may read from a copy."""
        return self.load(key)

    @abstractmethod
    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        """Store a value under a key that must be free."""

    @abstractmethod
    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        """Store a value if the key still has this version. Never creates."""

    @abstractmethod
    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        """Remove the key; with a version, only if it still has that one."""

    # -- the transport --

    @abstractmethod
    def execute(self, command: Command[Any], deadline: float) -> Any:
        """Send one command and return the raw reply.

        :param deadline: on the clock of :func:`time.monotonic`; ends in
            :class:`~sessionstore.core.errors.DeadlineExceeded` or ``StoreUnavailable`` by then.
            A ``write`` command whose reply is lost after it was sent raises ``OutcomeUnknown``
            and is not repeated here; anything else may be retried until the deadline.
        """

    @abstractmethod
    async def aexecute(self, command: Command[Any], deadline: float) -> Any:
        """:meth:`execute` for asyncio."""

    def close(self) -> None:
        """Release connections. The store may be used again afterwards."""
        return

    async def aclose(self) -> None:
        """Release the connections of the running event loop, and what :meth:`close` releases."""
        self.close()


@runtime_checkable
class Enumerable(Protocol):
    """A store that can list its keys: for the command line only, never in a request."""

    def keys(self) -> Iterator[bytes]:
        """Every session key under this store's prefix; may miss or repeat those that change."""


@runtime_checkable
class Purgeable(Protocol):
    """A store that does not expire entries by itself."""

    def purge(self, batch: int = 1000) -> Iterator[int]:
        """Delete expired entries in batches of at most ``batch``, yielding each batch's count."""


@runtime_checkable
class Examinable(Protocol):
    """A store, or one of its servers, that can tell how it is set up: for ``sessionstore doctor``
    only."""

    timeout: float

    def execute(self, command: Command[Any], deadline: float) -> Any:
        """See :meth:`Store.execute`."""

    def examine(self) -> Flow[Facts]:
        """What can be found out; what the server refuses to tell is left out and noted.

        :raises StoreError: the store cannot be used at all
        """


@runtime_checkable
class Sharded(Protocol):
    """A store that is several servers, each set up by itself."""

    def servers(self) -> Mapping[str, Examinable]:
        """Each of them by its name.

        :raises StoreError: nobody says which there are
        """
