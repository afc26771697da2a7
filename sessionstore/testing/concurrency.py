"""Many at once: exactly one wins, and everyone gets their own reply."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionstore.core.flow import Flow
from sessionstore.core.verbs import Conflict, Deleted, Entry, Exists, Missing, Version
from sessionstore.stores.base import Store
from sessionstore.testing.driving import Asynchronous, Drive, value

CROWD = 8
ROUNDS = 5


class ConcurrencyContract:
    """Threads, or tasks, that use one store at the same time."""

    def test_of_many_creates_one_wins(self, drive: Drive, key: bytes) -> None:
        for _ in range(ROUNDS):
            results = drive.together(
                [drive.store.create(key, value(n + 1), 60) for n in range(CROWD)]
            )
            assert sum(result != Exists() for result in results) == 1
            assert drive(drive.store.delete(key)) == Deleted()

    def test_of_many_replaces_one_wins_and_the_others_see_it(
        self, drive: Drive, key: bytes
    ) -> None:
        drive(drive.store.create(key, value(1), 60))
        for turn in range(1, ROUNDS + 1):
            entry = drive(drive.store.load(key))
            assert entry is not None
            results = drive.together(
                [
                    drive.store.replace(key, value(100 * turn + n), 60, entry.version)
                    for n in range(CROWD)
                ]
            )
            losers = [result for result in results if isinstance(result, Conflict)]
            assert len(losers) == CROWD - 1
            assert not any(isinstance(result, Missing) for result in results)
            assert {loser.entry for loser in losers} == {drive(drive.store.load(key))}

    def test_of_many_deletes_one_wins(self, drive: Drive, key: bytes) -> None:
        for _ in range(ROUNDS):
            version = drive(drive.store.create(key, value(1), 60))
            assert not isinstance(version, Exists)
            results = drive.together([drive.store.delete(key, version) for _ in range(CROWD)])
            assert sorted(map(type, results), key=str) == [Deleted] + [Missing] * (CROWD - 1)

    def test_a_replace_and_a_delete_do_not_both_succeed(self, drive: Drive, key: bytes) -> None:
        for _ in range(ROUNDS):
            version = drive(drive.store.create(key, value(1), 60))
            assert not isinstance(version, Exists)
            pair: list[Flow[Any]] = [
                drive.store.replace(key, value(2), 60, version),
                drive.store.delete(key, version),
            ]
            replaced, deleted = drive.together(pair)
            if isinstance(deleted, Deleted):
                assert replaced == Missing()
                assert drive(drive.store.load(key)) is None
            else:
                assert isinstance(deleted, Conflict)
                assert drive(drive.store.delete(key)) == Deleted()

    def test_no_increment_is_lost(self, drive: Drive, key: bytes) -> None:
        drive(drive.store.create(key, value(1, bytes(4)), 60))
        drive.together([increments(drive.store, key, who, 10) for who in range(CROWD)])
        entry = drive(drive.store.load(key))
        assert entry is not None
        assert int.from_bytes(entry.value[13:], "big") == CROWD * 10

    def test_everyone_gets_their_own_reply(self, drive: Drive) -> None:
        keys = [drive.store.key(f"{n:016x}") for n in range(CROWD)]
        for n, key in enumerate(keys):
            drive(drive.store.create(key, value(n + 1, bytes([n]) * 500), 60))
        wrong = drive.together(
            [reads_own(drive.store, key, bytes([n]) * 500, 20) for n, key in enumerate(keys)]
        )
        assert wrong == [0] * CROWD

    @pytest.mark.parametrize("verb", ["load", "create", "replace", "delete"])
    def test_a_cancelled_task_leaves_its_reply_to_nobody(self, store: Store, verb: str) -> None:
        """The task is cancelled at each of its awaits in turn, alone and in company."""
        with asyncio.Runner() as runner:
            drive = Asynchronous(store, runner)
            for ticks in range(12):
                runner.run(cancelled(drive, verb, ticks))
            runner.run(store.aclose())


def increments(store: Store, key: bytes, who: int, times: int) -> Flow[None]:
    """Count up by compare-and-set, again after each conflict."""
    entry = yield from store.load(key)
    assert entry is not None
    for turn in range(times):
        while True:
            count = int.from_bytes(entry.value[13:], "big") + 1
            # A revision never repeats: here, one per writer, turn and count.
            revision = ((who + 1) << 64) + (turn << 32) + count
            data = value(revision, count.to_bytes(4, "big"))
            result: Version | Conflict | Missing
            result = yield from store.replace(key, data, 60, entry.version)
            assert not isinstance(result, Missing)
            if not isinstance(result, Conflict):
                entry = Entry(data, result)
                break
            entry = result.entry


def reads_own(store: Store, key: bytes, body: bytes, times: int) -> Flow[int]:
    """How many of so many loads give something else than this body."""
    wrong = 0
    for _ in range(times):
        entry = yield from store.load(key)
        wrong += entry is None or entry.value[13:] != body
    return wrong


async def cancelled(drive: Asynchronous, verb: str, ticks: int) -> None:
    """Cancel one task after so many loop ticks; whoever comes before and after is served right."""
    store = drive.store
    victim, *others = [store.key(f"{verb}-{ticks:02}-{n}") for n in range(4)]
    for n, key in enumerate((victim, *others)):
        await drive.run(store.create(key, value(n + 1, key), 60))
    version = value(1)[1:13]
    flows: dict[str, Flow[Any]] = {
        "load": store.load(victim),
        "create": store.create(victim, value(7, b"victim"), 60),
        "replace": store.replace(victim, value(7, b"victim"), 60, version),
        "delete": store.delete(victim, version),
    }
    before = asyncio.create_task(drive.run(store.load(others[0])))
    task = asyncio.create_task(drive.run(flows[verb]))
    after = asyncio.create_task(drive.run(store.load(others[1])))
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    later = await drive.run(store.load(others[2]))
    await asyncio.wait({task})
    for key, entry in zip(others, (await before, await after, later), strict=True):
        assert entry is not None
        assert entry.value[13:] == key
