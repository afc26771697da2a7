from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionstore import MemoryStore, StoreUnavailable, open_store
from sessionstore.cli import common
from sessionstore.core.flow import run
from tests.cli.conftest import Invoke


class Rows(MemoryStore):
    """A store that does not expire its rows by itself."""

    def __init__(self, expired: int = 0, error: Exception | None = None) -> None:
        super().__init__()
        self.expired = expired
        self.error = error
        self.batches: list[int] = []

    def purge(self, batch: int = 1000) -> Iterator[int]:
        while self.expired:
            deleted = min(batch, self.expired)
            self.expired -= deleted
            self.batches.append(deleted)
            yield deleted
            if self.error is not None:
                raise self.error


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    rows = Rows()
    monkeypatch.setattr(common, "open_store", lambda url: rows)
    return rows


def test_a_real_database(invoke: Invoke, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"
    now = time.time()
    for written_at in (now - 3600, now):
        store = open_store(url, clock=lambda written_at=written_at: written_at)
        for number in range(7):
            key = store.key(f"{written_at:.0f}-{number:05d}"[-16:].rjust(16, "x"))
            deadline = time.monotonic() + 5
            run(
                store.create(key, bytes(20), 60),
                lambda command, store=store, deadline=deadline: store.execute(command, deadline),
            )
        store.close()
    assert invoke("purge", url, "--batch", "3").output == "7 expired sessions deleted.\n"
    assert invoke("purge", url).output == "0 expired sessions deleted.\n"


@pytest.mark.parametrize(
    "url", ["memory://", "redis://localhost:1", "rediss://localhost:1", "redis+unix:///none.sock"]
)
def test_stores_that_expire_by_themselves_are_not_even_asked(invoke: Invoke, url: str) -> None:
    result = invoke("purge", url)
    assert result.exit_code == 0
    assert "expires sessions by itself: there is nothing to do" in result.output


def test_deletes_in_batches(invoke: Invoke, rows: Rows) -> None:
    rows.expired = 2500
    result = invoke("purge", "sql://")
    assert (result.exit_code, result.output) == (0, "2500 expired sessions deleted.\n")
    assert rows.batches == [1000, 1000, 500]


def test_the_batch_size_is_an_option(invoke: Invoke, rows: Rows) -> None:
    rows.expired = 25
    assert invoke("purge", "sql://", "--batch", "10").exit_code == 0
    assert rows.batches == [10, 10, 5]
    assert invoke("purge", "sql://", "--batch", "0").exit_code == 2


def test_nothing_to_delete(invoke: Invoke, rows: Rows) -> None:
    assert invoke("purge", "sql://").output == "0 expired sessions deleted.\n"


def test_one(invoke: Invoke, rows: Rows) -> None:
    rows.expired = 1
    assert invoke("purge", "sql://").output == "1 expired session deleted.\n"


def test_says_in_plain_words_why_it_failed(invoke: Invoke, rows: Rows) -> None:
    rows.expired, rows.error = 2000, StoreUnavailable("connection refused", node="db:5432")
    result = invoke("purge", "sql://")
    assert result.exit_code == 1
    assert result.output == ("Error: The store cannot be reached: connection refused (db:5432)\n")


def test_a_wrong_url_is_a_usage_error(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("purge", "nosuch://x").exit_code == 2
    assert invoke("purge").exit_code == 2
