"""One resource per event loop, and nothing of the parent's in a forked child."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import pytest

from sessionstore.stores.lateness import call_by
from sessionstore.stores.lifetime import PerLoop, forget_after_fork
from sessionstore.testing.lifecycle import forked, in_threads


class Resource:
    def __init__(self) -> None:
        self.closed_in: asyncio.AbstractEventLoop | None = None
        self.abandoned = False

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed_in = asyncio.get_running_loop()

    def abandon(self) -> None:
        self.abandoned = True


async def test_a_loop_has_one() -> None:
    per_loop = PerLoop(Resource)
    assert per_loop.get() is per_loop.get()
    await per_loop.aclose()


def test_loops_have_their_own_and_close_it_at_their_end() -> None:
    per_loop = PerLoop(Resource)
    seen: list[Resource] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def use() -> None:
        seen.append(per_loop.get())
        loops.append(asyncio.get_running_loop())

    for _ in range(3):
        asyncio.run(use())
    assert len(set(seen)) == 3
    assert [resource.closed_in for resource in seen] == loops
    assert not any(resource.abandoned for resource in seen)


async def test_closed_early_it_is_made_anew() -> None:
    per_loop = PerLoop(Resource)
    first = per_loop.get()
    await per_loop.aclose()
    await per_loop.aclose()
    assert first.closed_in is asyncio.get_running_loop()
    assert per_loop.get() is not first
    await per_loop.aclose()


@pytest.mark.parametrize("by", ["sweep", "the next loop"])
def test_that_of_a_loop_which_was_just_closed_is_abandoned(by: str) -> None:
    per_loop = PerLoop(Resource)

    async def use() -> Resource:
        return per_loop.get()

    loop = asyncio.new_event_loop()
    resource = loop.run_until_complete(use())
    found = []
    per_loop.sweep()
    found.append(resource.abandoned)  # no: its loop may go on
    loop.close()
    if by == "sweep":
        per_loop.sweep()
    else:
        asyncio.run(use())
    found.append(resource.abandoned)
    assert found == [False, True]
    assert resource.closed_in is None


def test_loops_in_threads_do_not_share() -> None:
    per_loop = PerLoop(Resource)
    seen: list[Resource] = []

    async def use() -> None:
        mine = per_loop.get()
        for _ in range(20):
            await asyncio.sleep(0)
            assert per_loop.get() is mine
        seen.append(mine)

    in_threads(8, lambda number: asyncio.run(use()))
    assert len(set(seen)) == 8
    assert all(resource.closed_in for resource in seen)


def test_a_store_that_is_dropped_closes_what_its_loop_has() -> None:
    async def use() -> Resource:
        per_loop = PerLoop(Resource)
        resource = per_loop.get()
        del per_loop
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        return resource

    resource = asyncio.run(use())
    assert resource.closed_in is not None


async def test_a_forked_child_abandons_and_starts_anew() -> None:
    per_loop = PerLoop(Resource)
    resource = per_loop.get()

    async def use() -> Resource:
        return per_loop.get()

    def in_the_child() -> None:
        assert resource.abandoned
        assert asyncio.run(use()) is not resource

    with forked(in_the_child) as child:
        pass
    assert child.status == 0
    assert per_loop.get() is resource
    assert not resource.abandoned
    await per_loop.aclose()


def test_what_is_gone_is_not_called_after_a_fork() -> None:
    class Thing:
        def after_fork(self) -> None:
            raise AssertionError

    thing = Thing()
    forget_after_fork(thing)
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None
    with forked(lambda: None) as child:
        pass
    assert child.status == 0


def test_call_by() -> None:
    assert call_by(time.monotonic() + 10, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        call_by(time.monotonic() + 10, lambda: 1 // 0)
    late: list[int] = []
    go, done = threading.Event(), threading.Event()

    def slow() -> int:
        go.wait(10)
        return 7

    def discard(result: int) -> None:
        late.append(result)
        done.set()

    with pytest.raises(TimeoutError):
        call_by(time.monotonic() + 0.01, slow, discard)
    go.set()
    assert done.wait(10)
    assert late == [7]
