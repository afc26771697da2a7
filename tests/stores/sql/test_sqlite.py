"""SQLite beyond the contract."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionstore.core.errors import (
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.verbs import Conflict, Entry, Exists, Missing
from sessionstore.stores.base import Purgeable, Store
from sessionstore.stores.sql.failures import from_sqlite
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(file: Path, clock: Clock) -> Iterator[Store]:
    store = open_store(f"sqlite:///{file}", timeout=5, clock=clock)
    yield store
    store.close()


@BOTH
def test_expiry_to_the_millisecond(store: Store, clock: Clock, how: str) -> None:
    key = store.key("h")
    carry(store, how, store.create(key, value(1), 0.5))
    clock.now += 0.499
    assert carry(store, how, store.load(key)) == Entry(value(1), value(1)[1:13])
    assert carry(store, how, store.create(key, value(2), 60)) == Exists()
    clock.now += 0.002
    assert carry(store, how, store.load(key)) is None
    assert carry(store, how, store.replace(key, value(2), 60, value(1)[1:13])) == Missing()
    assert carry(store, how, store.create(key, value(2), 60)) == value(2)[1:13]


def test_a_purge_takes_only_what_is_expired(store: Store, clock: Clock, file: Path) -> None:
    for number in range(10):
        carry(store, "sync", store.create(store.key(f"{number}"), value(1), 1 + number))
    clock.now += 5
    assert isinstance(store, Purgeable)
    assert list(store.purge(batch=3)) == [3, 2]
    assert rows(file) == 5


def rows(file: Path) -> int:
    """How many rows the file holds, expired or not."""
    raw = sqlite3.connect(file)
    (count,) = raw.execute("SELECT count(*) FROM sessionstore_sessions").fetchone()
    raw.close()
    return int(count)


def test_the_file_is_for_its_owner_only(store: Store, file: Path) -> None:
    carry(store, "sync", store.create(store.key("h"), value(1), 60))
    for path in file.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///my%20sessions.db", timeout=5)
    carry(store, "sync", store.load(store.key("h")))
    store.close()
    assert (tmp_path / "my sessions.db").is_file()


def test_two_tables_in_one_file(file: Path) -> None:
    stores = [open_store(f"sqlite:///{file}?table={table}", timeout=5) for table in ("a", "b")]
    for store in stores:
        assert carry(store, "sync", store.create(store.key("h"), value(1), 60)) != Exists()
        store.close()


def start_at_once(file: str, number: int, barrier: threading.Barrier) -> None:
    store = open_store(f"sqlite:///{file}", timeout=20)
    barrier.wait(30)
    for turn in range(5):
        key = store.key(f"{number:08x}{turn:08x}")
        assert carry(store, "sync", store.create(key, value(1), 60)) != Exists()
    store.close()


def test_workers_that_start_at_once_make_the_table_once(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    workers = [
        context.Process(target=start_at_once, args=(str(file), number, barrier))
        for number in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert rows(file) == 15


@pytest.fixture
def locked(store: Store, file: Path) -> Iterator[sqlite3.Connection]:
    """Another process is writing, and does not finish."""
    carry(store, "sync", store.create(store.key("h"), value(1), 60))
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    yield writer
    writer.close()


@BOTH
def test_a_locked_file(store: Store, locked: sqlite3.Connection, how: str) -> None:
    key = store.key("h")
    assert carry(store, how, store.load(key), 0.2) is not None, "readers do not wait"
    flows = [
        store.create(store.key("new"), value(1), 60),
        store.replace(key, value(2), 60, value(1)[1:13]),
        store.delete(key),
    ]
    for flow in flows:
        # It was not executed, and that is known.
        with Stopwatch(0.2), pytest.raises(StoreUnavailable, match="locked"):
            carry(store, how, flow, 0.2)
    locked.execute("COMMIT")
    assert carry(store, how, store.replace(key, value(2), 60, value(1)[1:13])) == value(2)[1:13]


@BOTH
def test_a_lock_that_is_let_go_in_time(
    store: Store, locked: sqlite3.Connection, how: str, file: Path
) -> None:
    locked.close()
    holding = threading.Event()

    def hold() -> None:
        writer = sqlite3.connect(file, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        holding.set()
        time.sleep(0.1)
        writer.execute("COMMIT")
        writer.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    result = carry(store, how, store.replace(store.key("h"), value(2), 60, value(1)[1:13]))
    assert not isinstance(result, Conflict | Missing)
    thread.join()


async def test_waiting_for_a_lock_does_not_hold_the_loop_up(
    store: Store, locked: sqlite3.Connection
) -> None:
    deadline = time.monotonic() + 0.5
    command = next(store.delete(store.key("h")))
    waiting = asyncio.create_task(store.aexecute(command, deadline))
    longest, last = 0.0, time.monotonic()
    while not waiting.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    with pytest.raises(StoreUnavailable):
        await waiting
    assert longest < 0.4


async def test_a_cancelled_write_frees_its_connection(
    store: Store, locked: sqlite3.Connection
) -> None:
    command = next(store.delete(store.key("h")))
    tasks = [
        asyncio.create_task(store.aexecute(command, time.monotonic() + 0.3)) for _ in range(40)
    ]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    locked.execute("COMMIT")
    entry = await store.aexecute(next(store.load(store.key("h"))), time.monotonic() + 10)
    assert entry in ([], [(value(1),)])


@BOTH
def test_no_free_connection(file: Path, how: str) -> None:
    store = open_store(f"sqlite:///{file}?max_connections=1", timeout=5)
    carry(store, "sync", store.create(store.key("h"), value(1), 60))
    database = store._database  # type: ignore[attr-defined]
    with (
        database.connection(time.monotonic() + 5),
        Stopwatch(0.1),
        pytest.raises(StoreUnavailable, match="max_connections"),
    ):
        # A write, which was not sent and so has a known outcome.
        carry(store, how, store.delete(store.key("h")), 0.1)
    assert carry(store, how, store.load(store.key("h"))) is not None
    store.close()


@BOTH
def test_a_file_that_is_no_database(file: Path, how: str) -> None:
    file.write_bytes(b"this is not a database, however long it may be" * 100)
    store = open_store(f"sqlite:///{file}")
    with pytest.raises(StoreRefused, match="not a SQLite database"):
        carry(store, how, store.load(store.key("h")))
    store.close()
    assert file.read_bytes().startswith(b"this is not")


@BOTH
def test_a_directory_that_goes_away(tmp_path: Path, how: str) -> None:
    (tmp_path / "d").mkdir()
    store = open_store(f"sqlite:///{tmp_path}/d/s.db")
    (tmp_path / "d").rmdir()
    with pytest.raises(StoreRefused, match="cannot be opened"):
        carry(store, how, store.load(store.key("h")))
    store.close()


@BOTH
def test_the_table_is_made_again_if_it_is_dropped(store: Store, file: Path, how: str) -> None:
    carry(store, how, store.create(store.key("h"), value(1), 60))
    raw = sqlite3.connect(file)
    raw.execute("DROP TABLE sessionstore_sessions")
    raw.close()
    assert carry(store, how, store.load(store.key("h"))) is None


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (5, "database is locked", StoreUnavailable),
        (6, "database table is locked", StoreUnavailable),
        (261, "database is locked", StoreUnavailable),
        (13, "database or disk is full", StoreFull),
        (8, "attempt to write a readonly database", StoreRefused),
        (3, "access permission denied", StoreRefused),
        (11, "database disk image is malformed", StoreRefused),
        (26, "file is not a database", StoreRefused),
        (14, "unable to open database file", StoreRefused),
        (1, "near secret: syntax error", StoreRefused),
        (None, "secret", StoreRefused),
    ],
)
def test_result_codes(code: int | None, text: str, kind: type[StoreError]) -> None:
    failure = from_sqlite(code, text, "s.db")
    assert type(failure.error) is kind
    assert "secret" not in str(failure.error)


def test_an_io_error_leaves_the_outcome_open() -> None:
    assert from_sqlite(10, "disk I/O error", "s.db").lost


@BOTH
def test_a_full_disk_refuses_writes_and_reads_go_on(store: Store, file: Path, how: str) -> None:
    carry(store, how, store.create(store.key("h"), value(1), 60))
    # The database's own limit on pages stands in for the disk's; it holds per connection.
    database = store._database  # type: ignore[attr-defined]
    real = database.prepare

    def prepare(connection: object, until: float) -> None:
        real(connection, until)
        connection.connection.dbapi_connection.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]

    database.prepare = prepare
    with pytest.raises(StoreFull):
        carry(store, how, store.create(store.key("big"), value(1, bytes(500_000)), 60))
    assert carry(store, how, store.load(store.key("h"))) is not None


def test_a_thread_that_is_too_late_leaves_the_outcome_open(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry(store, "sync", store.create(store.key("h"), value(1), 60))
    database = store._database  # type: ignore[attr-defined]
    real = database.execute
    done = threading.Event()

    def slow(command: object, until: float) -> object:
        time.sleep(0.4)
        try:
            return real(command, time.monotonic() + 5)
        finally:
            done.set()

    monkeypatch.setattr(database, "execute", slow)
    with pytest.raises(OutcomeUnknown):
        carry(store, "async", store.delete(store.key("h")), 0.1)
    assert done.wait(10)


async def test_where_no_thread_can_be_started_it_is_a_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(StoreUnavailable, match="no thread can be started"):
            await store.aexecute(next(store.load(store.key("h"))), time.monotonic() + 5)
        with pytest.raises(OutcomeUnknown, match="no thread can be started"):
            await store.aexecute(next(store.delete(store.key("h"))), time.monotonic() + 5)
    assert await store.aexecute(next(store.load(store.key("h"))), time.monotonic() + 5) == []
