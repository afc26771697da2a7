"""The thread that keeps a topology up to date."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from sessionstore.core.errors import StoreRefused, StoreUnavailable
from sessionstore.stores.attempts import Failure, refused, unavailable
from sessionstore.stores.redis.recent import RecentWrites
from sessionstore.stores.servers.watching import Knowledge, Watcher
from sessionstore.stores.url import open_store
from sessionstore.testing.lifecycle import forked
from tests.stores.carrying import Stopwatch, carry
from tests.support.redis_topologies import RedisCluster, SentinelGroup
from tests.support.scripted_topology import eventually


class Owner:
    """Something that is watched."""


class Watching(Watcher):
    """Waits, and counts how often it was woken."""

    def __init__(self, owner: Owner, work: Callable[[], None] = lambda: None) -> None:
        super().__init__(owner, "test")
        self.woken = 0
        self._first = work

    def work(self) -> None:
        first, self._first = self._first, lambda: None
        first()
        while True:
            self.woken += self.wait(30)


def alive() -> bool:
    return any(thread.name == "sessionstore-test" for thread in threading.enumerate())


def test_it_is_woken_and_stopped() -> None:
    owner = Owner()
    watcher = Watching(owner)
    watcher.start()
    for turn in range(1, 4):
        watcher.wake()
        eventually(lambda turn=turn: watcher.woken >= turn)  # type: ignore[misc]
    watcher.stop()
    eventually(lambda: not alive())
    for _ in range(3):
        watcher.wake()
        watcher.stop()


def test_it_is_woken_more_often_than_it_can_look() -> None:
    owner = Owner()
    watcher = Watching(owner, lambda: watcher.rest(0.3))
    watcher.start()
    with Stopwatch(0.5):
        for _ in range(20_000):
            watcher.wake()
    eventually(lambda: watcher.woken > 0)
    watcher.stop()
    eventually(lambda: not alive())


def test_it_ends_with_its_owner() -> None:
    owner = Owner()
    Watching(owner).start()
    assert alive()
    del owner
    gc.collect()
    eventually(lambda: not alive())


def test_a_bug_is_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    owner = Owner()
    watcher = Watching(owner, bug)
    with caplog.at_level(logging.ERROR, "sessionstore"):
        watcher.start()
        watcher.wake()
        eventually(lambda: watcher.woken > 0)
    assert "sessionstore-test begins anew" in caplog.text
    watcher.stop()
    eventually(lambda: not alive())


def test_in_a_forked_child_it_can_be_let_go_of() -> None:
    """Whatever its thread was doing just then."""
    owner: list[Any] = [Owner()]
    watcher = Watching(owner[0])
    watcher.start()

    def in_the_child() -> None:
        watcher.after_fork()
        watcher.wake()
        owner.clear()
        gc.collect()

    with watcher._speaking, forked(in_the_child) as child:
        pass
    assert child.status == 0
    watcher.wake()
    eventually(lambda: watcher.woken > 0)
    watcher.stop()
    eventually(lambda: not alive())


def test_the_recent_writes_of_a_forked_child() -> None:
    recent = RecentWrites()

    def in_the_child() -> None:
        recent.add(b"k", 1.0)
        assert recent.has(b"k", 1.0)

    with recent._lock, forked(in_the_child) as child:
        pass
    assert child.status == 0


def test_who_waits_for_knowledge() -> None:
    knowledge = Knowledge("name", 10)
    with Stopwatch(0.1), pytest.raises(Failure, match="nobody has said"):
        knowledge.wait(time.monotonic() + 0.1)
    teller = threading.Timer(0.05, knowledge.is_known)
    teller.start()
    knowledge.wait(time.monotonic() + 20)
    knowledge.wait(0)
    teller.join()


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(refused("no", "n"), StoreRefused), (unavailable("no", "n"), StoreUnavailable)],
)
def test_why_nothing_is_known(failure: Failure, kind: type[Exception]) -> None:
    knowledge = Knowledge("name", 10)
    knowledge.failed(failure)
    with Stopwatch(0.1), pytest.raises(Failure) as caught:
        knowledge.wait(time.monotonic() + 0.1)
    assert type(caught.value.error) is kind
    knowledge.is_known()
    knowledge.wait(0)


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_a_system_that_starts_no_more_threads(
    sentinel_group: SentinelGroup,
    redis_cluster: RedisCluster,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """An error with a type; and when threads can be had again, it works."""
    url = {"sentinel": sentinel_group.url, "cluster": redis_cluster.url}[kind]
    store = open_store(url, prefix=prefix, timeout=10)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreUnavailable, match="no thread can be started"):
            carry(store, "sync", store.load(store.key("h")), 0.2)
    assert carry(store, "sync", store.load(store.key("h"))) is None
    store.close()


def test_waking_waits_for_nobody() -> None:
    """An interpreter that shut down hung here: a thread that never ran again had the lock."""
    owner = Owner()
    watcher = Watching(owner)
    done = threading.Thread(target=watcher.stop, daemon=True)
    with watcher._speaking:
        done.start()
        done.join(10)
        assert not done.is_alive()
    watcher.forget()
