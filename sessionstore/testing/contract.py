"""``StoreContract``: what every store must do, as tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, cast

import pytest

from sessionstore.core.expiry import MAX_LIFETIME
from sessionstore.core.flow import Flow
from sessionstore.core.verbs import Conflict, Deleted, Entry, Exists, Missing
from sessionstore.stores.base import Enumerable, Purgeable, Store
from sessionstore.testing.concurrency import ConcurrencyContract
from sessionstore.testing.driving import Drive, driving, value
from sessionstore.testing.lifecycle import LifecycleContract

DAY = 86400.0


class VerbsContract(ABC):
    """The four verbs, one after the other."""

    shortest_ttl = 0.02
    """Seconds. What the tests of expiry use; a server that counts in seconds needs 1."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> Any:
        """The store under test, with a prefix that nothing else uses."""

    @pytest.fixture(params=["sync", "async"])
    def drive(self, store: Store, request: pytest.FixtureRequest) -> Iterator[Drive]:
        """Runs flows, each test once by ``execute`` and once by ``aexecute``."""
        with driving(store, request.param) as drive:
            yield drive

    @pytest.fixture
    def key(self, store: Store) -> bytes:
        """A free key."""
        return store.key("0123456789abcdef")

    # -- the verbs --

    def test_load_of_an_unknown_key_is_none(self, drive: Drive, key: bytes) -> None:
        assert drive(drive.store.load(key)) is None

    def test_what_was_created_is_loaded(self, drive: Drive, key: bytes) -> None:
        version = drive(drive.store.create(key, value(1, b"body"), 60))
        assert drive(drive.store.load(key)) == Entry(value(1, b"body"), cast(bytes, version))

    def test_create_does_not_overwrite(self, drive: Drive, key: bytes) -> None:
        drive(drive.store.create(key, value(1), 60))
        assert drive(drive.store.create(key, value(2), 60)) == Exists()
        assert loaded(drive, key).value == value(1)

    def test_replace_with_the_current_version(self, drive: Drive, key: bytes) -> None:
        first = created(drive, key, value(1))
        second = drive(drive.store.replace(key, value(2, b"new"), 60, first))
        assert drive(drive.store.load(key)) == Entry(value(2, b"new"), cast(bytes, second))
        assert second != first

    def test_the_version_of_load_will_do(self, drive: Drive, key: bytes) -> None:
        created(drive, key, value(1))
        version = loaded(drive, key).version
        assert not isinstance(
            drive(drive.store.replace(key, value(2), 60, version)), Conflict | Missing
        )

    def test_replace_with_an_old_version_is_told_the_current_entry(
        self, drive: Drive, key: bytes
    ) -> None:
        old = created(drive, key, value(1))
        drive(drive.store.replace(key, value(2, b"theirs"), 60, old))
        result = drive(drive.store.replace(key, value(3, b"ours"), 60, old))
        assert result == Conflict(loaded(drive, key))
        assert loaded(drive, key).value == value(2, b"theirs")

    def test_the_entry_of_a_conflict_can_be_replaced(self, drive: Drive, key: bytes) -> None:
        old = created(drive, key, value(1))
        drive(drive.store.replace(key, value(2), 60, old))
        conflict = drive(drive.store.replace(key, value(3), 60, old))
        assert isinstance(conflict, Conflict)
        drive(drive.store.replace(key, value(4), 60, conflict.entry.version))
        assert loaded(drive, key).value == value(4)

    def test_replace_never_creates(self, drive: Drive, key: bytes) -> None:
        version = created(drive, key, value(1))
        drive(drive.store.delete(key))
        assert drive(drive.store.replace(key, value(2), 60, version)) == Missing()
        assert drive(drive.store.load(key)) is None

    def test_delete(self, drive: Drive, key: bytes) -> None:
        created(drive, key, value(1))
        assert drive(drive.store.delete(key)) == Deleted()
        assert drive(drive.store.load(key)) is None
        assert drive(drive.store.delete(key)) == Missing()

    def test_delete_with_a_version(self, drive: Drive, key: bytes) -> None:
        old = created(drive, key, value(1))
        drive(drive.store.replace(key, value(2), 60, old))
        conflict = drive(drive.store.delete(key, old))
        assert conflict == Conflict(loaded(drive, key))
        assert isinstance(conflict, Conflict)
        assert drive(drive.store.delete(key, conflict.entry.version)) == Deleted()
        assert drive(drive.store.delete(key, conflict.entry.version)) == Missing()

    def test_a_deleted_key_is_free(self, drive: Drive, key: bytes) -> None:
        old = created(drive, key, value(1))
        drive(drive.store.delete(key))
        created(drive, key, value(2))
        assert isinstance(drive(drive.store.replace(key, value(3), 60, old)), Conflict)

    def test_keys_do_not_touch_each_other(self, drive: Drive) -> None:
        keys = [drive.store.key(f"{number:016x}") for number in range(5)]
        for number, key in enumerate(keys):
            created(drive, key, value(number + 1))
        drive(drive.store.delete(keys[2]))
        found = [drive(drive.store.load(key)) for key in keys]
        assert [entry and entry.value[12] for entry in found] == [1, 2, None, 4, 5]

    # -- values --

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            bytes(range(256)),
            b"\r\n$-1\r\n\x00END\r\n",
            b"\x00" * 100,
            bytes(range(256)) * 1024,
        ],
        ids=["empty", "every byte", "protocol", "NUL", "256 KiB"],
    )
    def test_any_bytes_come_back(self, drive: Drive, key: bytes, body: bytes) -> None:
        version = created(drive, key, value(1, body))
        entry = loaded(drive, key)
        assert type(entry.value) is bytes
        assert entry.value == value(1, body)
        drive(drive.store.replace(key, value(2, body), 60, version))
        conflict = drive(drive.store.replace(key, value(3), 60, version))
        assert conflict == Conflict(loaded(drive, key))
        assert loaded(drive, key).value == value(2, body)

    def test_a_revision_may_be_any_bytes(self, drive: Drive, key: bytes) -> None:
        awkward = [b"\x00" * 12, b"\xff" * 12, b"%s'\"\\;--\r\n\x00\t ", b"123456789012"]
        version = created(drive, key, b"\x01" + awkward[0])
        for revision in awkward[1:]:
            result = drive(drive.store.replace(key, b"\x01" + revision, 60, version))
            assert not isinstance(result, Conflict | Missing)
            version = result
            assert loaded(drive, key) == Entry(b"\x01" + revision, version)

    # -- expiry, by the store's own clock --

    def test_an_expired_entry_is_absent_for_every_verb(self, drive: Drive, key: bytes) -> None:
        drive(drive.store.create(key, value(1), self.shortest_ttl))
        drive.until(lambda: drive.store.load(key), lambda entry: entry is None)
        version = value(1)[1:13]
        assert drive(drive.store.replace(key, value(2), 60, version)) == Missing()
        assert drive(drive.store.delete(key, version)) == Missing()
        assert drive(drive.store.delete(key)) == Missing()

    def test_create_on_an_expired_entry(self, drive: Drive, key: bytes) -> None:
        drive(drive.store.create(key, value(1), self.shortest_ttl))
        # Not loaded in between, which might remove it.
        drive.until(lambda: drive.store.create(key, value(2), 60), lambda r: r != Exists())
        assert loaded(drive, key).value == value(2)

    def test_replace_prolongs(self, drive: Drive, key: bytes) -> None:
        # Time enough for two commands, mostly; a server that counts in seconds gives that anyway.
        witness, short = drive.store.key("fedcba9876543210"), max(self.shortest_ttl, 0.2)

        def prolonged() -> Flow[Any]:
            version = yield from drive.store.create(key, value(1), short)
            assert not isinstance(version, Exists)
            return (yield from drive.store.replace(key, value(2), 60, version))

        # Again where a busy machine was too slow for so short a TTL.
        drive.until(prolonged, lambda result: result != Missing())
        drive(drive.store.create(witness, value(1), short))
        drive.until(lambda: drive.store.load(witness), lambda entry: entry is None)
        assert loaded(drive, key).value == value(2)

    def test_replace_shortens(self, drive: Drive, key: bytes) -> None:
        version = created(drive, key, value(1))
        drive(drive.store.replace(key, value(2), self.shortest_ttl, version))
        drive.until(lambda: drive.store.load(key), lambda entry: entry is None)

    @pytest.mark.parametrize(
        "ttl",
        [1.5, 30 * DAY, 30 * DAY + 1, 400 * DAY, MAX_LIFETIME],
        ids=["1.5 s", "30 days", "30 days and 1 s", "400 days", "100 years"],
    )
    def test_a_long_ttl_does_not_expire_at_once(self, drive: Drive, key: bytes, ttl: float) -> None:
        version = created(drive, key, value(1), ttl)
        assert loaded(drive, key).value == value(1)
        drive(drive.store.replace(key, value(2), ttl, version))
        assert loaded(drive, key).value == value(2)

    # -- the flows --

    def test_reads_are_reads_and_writes_are_writes(self, store: Store, key: bytes) -> None:
        """What is marked as a write is never repeated blindly; what is not may be."""
        assert not next(store.load(key)).write
        for flow in writes(store, key):
            assert next(flow).write

    def test_a_command_shows_no_value(self, store: Store, key: bytes) -> None:
        for flow in writes(store, key):
            assert "secret" not in repr(next(flow))


def writes(store: Store, key: bytes) -> list[Flow[Any]]:
    """Every verb that changes something."""
    return [
        store.create(key, value(1, b"secret"), 60),
        store.replace(key, value(2, b"secret"), 60, value(1)[1:13]),
        store.delete(key, value(1)[1:13]),
        store.delete(key),
    ]


def created(drive: Drive, key: bytes, data: bytes, ttl: float = 60) -> bytes | int:
    """Create what must not exist; returns its version."""
    result = drive(drive.store.create(key, data, ttl))
    assert not isinstance(result, Exists)
    return result


def loaded(drive: Drive, key: bytes) -> Entry:
    """Load what must exist."""
    entry = drive(drive.store.load(key))
    assert entry is not None
    return entry


class StoreContract(VerbsContract, ConcurrencyContract, LifecycleContract):
    """Everything that a store must do. See :mod:`sessionstore.testing` for how to use it."""


class EnumerableContract:
    """For stores with ``keys()``: add it beside :class:`StoreContract`."""

    def test_keys_are_listed(self, drive: Drive) -> None:
        store = drive.store
        assert isinstance(store, Enumerable)
        keys = {store.key(f"{number:016x}") for number in range(600)}
        for key in keys:
            created(drive, key, value(1))
        assert set(store.keys()) == keys
        for key in keys:
            drive(store.delete(key))
        assert list(store.keys()) == []


class PurgeableContract:
    """For stores with ``purge()``: add it beside :class:`StoreContract`."""

    def test_a_purge_deletes_what_is_expired_in_batches(self, drive: Drive) -> None:
        store = drive.store
        assert isinstance(store, Purgeable)
        keys = [store.key(f"{number:016x}") for number in range(7)]
        for key in keys[:5]:
            created(drive, key, value(1), 0.02)
        for key in keys[5:]:
            created(drive, key, value(1))
        drive.until(lambda: store.load(keys[4]), lambda entry: entry is None)
        batches = list(store.purge(batch=2))
        assert sum(batches) == 5
        assert max(batches) == 2
        assert [drive(store.load(key)) is None for key in keys] == [True] * 5 + [False] * 2
        assert sum(store.purge(batch=2)) == 0
