"""Who uses a store: many threads, many event loops, forked processes; and closing it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import warnings
from collections.abc import Callable

import pytest

from sessionstore.stores.base import Store
from sessionstore.testing.driving import Asynchronous, Blocking, Drive, driving, value


class LifecycleContract:
    """Connections belong to a process and to an event loop; a store belongs to neither."""

    shared_by_processes = True
    """Whether a forked child sees the same sessions. False for memory."""

    def test_closed_and_used_again(self, drive: Drive, key: bytes) -> None:
        drive(drive.store.create(key, value(1), 60))
        for _ in range(2):
            drive.store.close()
            entry = drive(drive.store.load(key))
            assert entry is not None

    def test_closed_in_its_loop_and_used_again(self, store: Store, key: bytes) -> None:
        async def use() -> None:
            drive = Asynchronous(store, runner)
            for _ in range(2):
                await drive.run(store.delete(key))
                await drive.run(store.create(key, value(1), 60))
                await store.aclose()

        with asyncio.Runner() as runner:
            runner.run(use())

    def test_a_loop_per_call_leaves_nothing_behind(self, store: Store, key: bytes) -> None:
        """Nobody calls ``aclose``: so it is under Starlette's TestClient, and ``asyncio.run``."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for number in range(1, 6):
                with asyncio.Runner() as runner:
                    drive = Asynchronous(store, runner)
                    drive(store.delete(key))
                    drive(store.create(key, value(number), 60))
                    entry = drive(store.load(key))
                    assert entry is not None
                    assert entry.value == value(number)
            gc.collect()
        assert [str(warning.message) for warning in caught] == []

    def test_loops_in_turns(self, store: Store, key: bytes) -> None:
        with asyncio.Runner() as first, asyncio.Runner() as second:
            drives = [Asynchronous(store, first), Asynchronous(store, second)]
            drives[0](store.create(key, value(1), 60))
            for _ in range(3):
                for drive in drives:
                    entry = drive(store.load(key))
                    assert entry is not None
            for drive in drives:
                drive.runner.run(store.aclose())

    def test_loops_in_threads(self, store: Store) -> None:
        def use(number: int) -> None:
            key = store.key(f"{number:016x}")
            with driving(store, "async") as drive:
                drive(store.create(key, value(1, key), 60))
                for _ in range(20):
                    entry = drive(store.load(key))
                    assert entry is not None
                    assert entry.value[13:] == key

        in_threads(4, use)

    def test_blocking_and_asynchronous_code_in_one_process(self, store: Store, key: bytes) -> None:
        with driving(store, "async") as drive:
            Blocking(store)(store.create(key, value(1), 60))
            entry = drive(store.load(key))
            assert entry is not None
            Blocking(store)(store.delete(key))
            assert drive(store.load(key)) is None

    def test_threads_that_come_and_go(self, store: Store) -> None:
        for turn in range(3):

            def use(number: int, turn: int = turn) -> None:
                key = store.key(f"{turn:08x}{number:08x}")
                drive = Blocking(store)
                drive(store.create(key, value(1, key), 60))
                for _ in range(20):
                    entry = drive(store.load(key))
                    assert entry is not None
                    assert entry.value[13:] == key

            in_threads(8, use)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    def test_a_forked_child_has_connections_of_its_own(self, drive: Drive) -> None:
        store = drive.store
        ours, theirs = store.key("0" * 16), store.key("1" * 16)
        for key in (ours, theirs):
            drive(store.create(key, value(1, key), 60))  # also makes a connection to inherit

        def in_the_child() -> None:
            with driving(store, "async" if isinstance(drive, Asynchronous) else "sync") as child:
                for _ in range(50):
                    entry = child(store.load(theirs))
                    assert entry is not None
                    assert entry.value[13:] == theirs
                if self.shared_by_processes:
                    child(store.delete(theirs))

        with forked(in_the_child) as child:
            for _ in range(50):
                entry = drive(store.load(ours))
                assert entry is not None
                assert entry.value[13:] == ours
        assert child.status == 0
        assert (drive(store.load(theirs)) is None) == self.shared_by_processes


def in_threads(count: int, use: Callable[[int], None]) -> None:
    """Call ``use(n)`` in so many threads at once; raises the first error."""
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            use(number)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class forked:  # noqa: N801 - used like a function
    """Run a function in a forked child while the ``with`` block runs here."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self.status: int | None = None

    def __enter__(self) -> forked:
        with warnings.catch_warnings():
            # Python 3.12 warns of forking with threads about; that a store survives it is the test.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                signal.alarm(60)
                self._work()
                code = 0
            finally:
                # Nothing of the parent's may run here: no fixture, no report, no atexit.
                os._exit(code)
        return self

    def __exit__(self, *_: object) -> None:
        self.status = os.waitpid(self._pid, 0)[1]
