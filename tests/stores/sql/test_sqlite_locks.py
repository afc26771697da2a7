"""Another process that comes and goes takes nothing away from those that stay."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from sessionstore import open_store
from sessionstore.core.verbs import Entry
from sessionstore.testing.driving import value
from tests.stores.carrying import carry

COMES_AND_GOES = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT * FROM sessionstore_sessions").fetchall()
connection.close()
"""


def test_the_last_to_leave_is_not_mistaken(tmp_path: Path) -> None:
    """Whoever leaves a database last deletes its log. That somebody is left, SQLite knows from a
    POSIX lock, and closing any other descriptor of the file would have dropped that."""
    file = tmp_path / "sessions.db"
    with ExitStack() as stack:
        # As in a process with several apps, each with a store of its own.
        opened = [stack.enter_context(closing(open_store(f"sqlite:///{file}"))) for _ in range(2)]
        for number, store in enumerate(opened):
            carry(store, "sync", store.create(store.key(f"h{number}"), value(number), 60))
        subprocess.run([sys.executable, "-c", COMES_AND_GOES, str(file)], check=True)
        assert file.with_name("sessions.db-wal").exists()
        # What is written now is seen by those who come later.
        carry(opened[0], "sync", opened[0].create(opened[0].key("later"), value(9), 60))
        with closing(open_store(f"sqlite:///{file}")) as other:
            assert isinstance(carry(other, "sync", other.load(other.key("later"))), Entry)
