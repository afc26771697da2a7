"""``memory://``: sessions in this process. For tests and development.

Set-up: none. Limits: one process sees them, a restart loses them. Keys: ``<prefix>:s:<handle>``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sessionstore.core.errors import ConfigurationError
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import (
    DEFAULT_PREFIX,
    DEFAULT_TIMEOUT,
    REVISION,
    Conflict,
    Deleted,
    Entry,
    Exists,
    Missing,
    Store,
    Version,
)

if TYPE_CHECKING:
    from sessionstore.stores.facts import MemoryFacts
    from sessionstore.stores.location import Location


class MemoryStore(Store):
    """A dictionary with expiry and compare-and-set.

    :param clock: seconds since some fixed moment; a test passes its own

    >>> from sessionstore.core.flow import run
    >>> store = MemoryStore()
    >>> run(store.load(store.key("nobody")), lambda command: store.execute(command, 0.0)) is None
    True
    """

    def __init__(
        self,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = DEFAULT_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(prefix=prefix, timeout=timeout)
        self._clock = clock
        self._entries: dict[bytes, tuple[bytes, float]] = {}
        self._lock = threading.Lock()
        self._purge_at = 1024

    def load(self, key: bytes) -> Flow[Entry | None]:
        return iter(Command(("load", key), key=key))

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        request = ("create", key, value, ttl)
        return iter(Command(request, key=key, write=True))

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        return iter(Command(("replace", key, value, ttl, version), key=key, write=True))

    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        return iter(Command(("delete", key, version), key=key, write=True))

    def execute(self, command: Command[Any], deadline: float) -> Any:
        verb, *arguments = command.request
        with self._lock:
            return getattr(self, f"_{verb}")(*arguments)

    async def aexecute(self, command: Command[Any], deadline: float) -> Any:
        return self.execute(command, deadline)

    def keys(self) -> Iterator[bytes]:
        with self._lock:
            now = self._clock()
            keys = [key for key, (_, expires) in self._entries.items() if expires > now]
        return iter(key for key in keys if key.startswith(self._key_prefix))

    def examine(self) -> Flow[MemoryFacts]:
        """That it is memory."""
        yield from ()
        from sessionstore.stores.facts import MemoryFacts

        return MemoryFacts("this process's memory")

    # -- what a server would do, under the lock --

    def _load(self, key: bytes) -> Entry | None:
        found = self._entries.get(key)
        if found is None:
            return None
        value, expires = found
        if expires <= self._clock():
            del self._entries[key]
            return None
        return Entry(value, value[REVISION])

    def _create(self, key: bytes, value: bytes, ttl: float) -> Version | Exists:
        if self._load(key) is not None:
            return Exists()
        if len(self._entries) >= self._purge_at:
            self._drop_expired()
        return self._store(key, value, ttl)

    def _replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Version | Conflict | Missing:
        entry = self._load(key)
        if entry is None:
            return Missing()
        if entry.version != version:
            return Conflict(entry)
        return self._store(key, value, ttl)

    def _delete(self, key: bytes, version: Version | None) -> Deleted | Conflict | Missing:
        entry = self._load(key)
        if entry is None:
            return Missing()
        if version is not None and entry.version != version:
            return Conflict(entry)
        del self._entries[key]
        return Deleted()

    def _store(self, key: bytes, value: bytes, ttl: float) -> Version:
        self._entries[key] = (value, self._clock() + ttl)
        return value[REVISION]

    def _drop_expired(self) -> None:
        # At every doubling, so that creating costs amortised O(1) and memory stays bounded.
        now = self._clock()
        for key in [key for key, (_, expires) in self._entries.items() if expires <= now]:
            del self._entries[key]
        self._purge_at = max(1024, 2 * len(self._entries))


def from_location(location: Location, options: dict[str, Any]) -> MemoryStore:
    """``memory://``."""
    if location.hosts or location.path or location.username or location.password:
        raise ConfigurationError("memory: write memory:// and nothing but options after it")
    return MemoryStore(**options)
