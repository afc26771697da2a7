"""Sentinels that disagree, answer nonsense, or do not answer: scripted."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessionstore.core.errors import StoreError, StoreRefused, StoreUnavailable
from sessionstore.core.flow import arun
from sessionstore.core.verbs import Entry
from sessionstore.stores.base import Store
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from sessionstore.testing.lifecycle import forked
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.support.scripted_redis import ScriptedRedis
from tests.support.scripted_topology import MASTER, Saying, ScriptedSentinel, eventually

TIMEOUT = 0.6
FIRST, SECOND = (Entry(value(number), value(number)[1:13]) for number in (1, 2))


def primary(number: int) -> Saying:
    return Saying(HELLO=MASTER, GET=b"$13\r\n%b\r\n" % value(number), SET=b"+OK\r\n")


@pytest.fixture
def one() -> Iterator[Saying]:
    with primary(1) as server:
        yield server


@pytest.fixture
def two() -> Iterator[Saying]:
    with primary(2) as server:
        yield server


def store_of(*sentinels: ScriptedRedis | str, timeout: float = TIMEOUT) -> Store:
    hosts = [each if isinstance(each, str) else f"127.0.0.1:{each.port}" for each in sentinels]
    return open_store(f"redis+sentinel://{','.join(hosts)}/mymaster", timeout=timeout)


def load(store: Store, how: str, seconds: float = 10) -> Entry | None:
    return carry(store, how, store.load(b"k"), seconds)


@BOTH
def test_the_newest_epoch_counts(one: Saying, two: Saying, how: str) -> None:
    with (
        ScriptedSentinel(one, 6) as stale,
        ScriptedSentinel(two, 7) as newer,
        ScriptedSentinel(one, 6) as other,
    ):
        store = store_of(stale, newer, other)
        # Whoever answers first is believed, but not for long.
        eventually(lambda: load(store, how) == SECOND)
        for sentinel in (stale, other):
            sentinel.wait_until_asked()
        assert load(store, how) == SECOND
        store.close()


@BOTH
def test_a_stale_sentinel_that_is_the_only_one_left_is_not_believed(
    one: Saying, two: Saying, how: str
) -> None:
    """It is perhaps cut off, together with the old primary, which takes writes from whoever asks:
    they would be lost when the two come back."""
    with ScriptedSentinel(one, 6) as stale:
        with ScriptedSentinel(two, 7) as newer, ScriptedSentinel(two, 7) as other:
            store = store_of(stale, newer, other)
            eventually(lambda: load(store, how) == SECOND)
        eventually(lambda: [each.error is None for each in store.health()[1:]].count(False) == 2)
        stale.wait_until_asked()
        assert load(store, how) == SECOND
        # What is newer is believed, of whoever it is.
        stale.name(one, 8)
        eventually(lambda: load(store, how) == FIRST)
        store.close()


def test_at_first_a_single_sentinel_is_believed(one: Saying) -> None:
    with ScriptedSentinel(one, 0) as sentinel:
        store = store_of("127.0.0.1:1", sentinel, "127.0.0.1:2")
        assert load(store, "sync") == FIRST
        store.close()


def test_sentinels_that_were_all_set_up_anew(one: Saying, two: Saying) -> None:
    """Their epochs begin at 0 again."""
    with (
        ScriptedSentinel(one, 5) as a,
        ScriptedSentinel(one, 5) as b,
        ScriptedSentinel(one, 5) as c,
    ):
        store = store_of(a, b, c)
        assert load(store, "sync") == FIRST
        a.name(two, 0)
        a.wait_until_asked()
        assert load(store, "sync") == FIRST
        b.name(two, 0)
        c.name(two, 0)
        eventually(lambda: load(store, "sync") == SECOND)
        store.close()


@BOTH
@pytest.mark.parametrize("trouble", ["refuses", "is silent", "accepts nothing"])
def test_a_bad_sentinel_costs_the_first_request_nothing(
    one: Saying, how: str, trouble: str
) -> None:
    with ScriptedRedis(b"") as silent, ScriptedSentinel(one, 1) as good, full_queue() as full:
        servers: dict[str, ScriptedRedis | str]
        servers = {"refuses": "127.0.0.1:1", "is silent": silent, "accepts nothing": full}
        bad = servers[trouble]
        store = store_of(bad, bad, good, timeout=20)
        with Stopwatch(0.3):
            assert load(store, how) == FIRST
        store.close()


class full_queue:  # noqa: N801 - used like a function
    """A host that accepts nothing: what a black hole looks like from here."""

    def __enter__(self) -> str:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        address: tuple[str, int] = self._listener.getsockname()
        self._fillers = [socket.socket() for _ in range(4)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        return f"127.0.0.1:{address[1]}"

    def __exit__(self, *_: object) -> None:
        for sock in (*self._fillers, self._listener):
            sock.close()


@BOTH
@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b"*0\r\n",
        b":1\r\n",
        b"$3\r\nabc\r\n",
        b"*2\r\n:1\r\n:2\r\n",
        b"*2\r\n$1\r\nh\r\n$5\r\nport!\r\n",
        b"*2\r\n$1\r\nh\r\n,inf\r\n",  # RESP3, which nobody has asked for
        b"*4\r\n$12\r\nconfig-epoch\r\n$1\r\nx\r\n$1\r\na\r\n$1\r\nb\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"-NOPERM this user has no permissions to run the 'sentinel' command\r\n",
        b"*-1\r\n",
    ],
)
def test_nonsense_is_an_error_that_an_operator_sees(reply: bytes, how: str) -> None:
    with ScriptedRedis(reply) as server:
        store = store_of(server, server)
        with Stopwatch(TIMEOUT), pytest.raises(StoreRefused):
            load(store, how, TIMEOUT)
        store.close()


@BOTH
@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1"])
def test_an_address_that_is_none(one: Saying, how: str, port: str) -> None:
    with ScriptedSentinel(one, 1) as sentinel:
        one.port = int(port)
        store = store_of(sentinel)
        with Stopwatch(TIMEOUT), pytest.raises(StoreError):
            load(store, how, TIMEOUT)
        store.close()


@BOTH
@pytest.mark.parametrize(
    "hello", [b"+OK\r\n", b"*1\r\n:1\r\n", b"*2\r\n$4\r\nrole\r\n:1\r\n", b"*2\r\n*0\r\n:1\r\n"]
)
def test_a_primary_that_does_not_say_what_it_is(one: Saying, how: str, hello: bytes) -> None:
    one.says["HELLO"] = hello
    with ScriptedSentinel(one, 1) as sentinel:
        store = store_of(sentinel)
        with Stopwatch(TIMEOUT), pytest.raises(StoreRefused, match="HELLO"):
            load(store, how, TIMEOUT)
        store.close()


@BOTH
def test_the_address_of_a_replica(one: Saying, two: Saying, how: str) -> None:
    """Sentinel names it already, and it does not know yet; or does not name another yet."""
    one.says["HELLO"] = MASTER.replace(b"$6\r\nmaster", b"$7\r\nreplica")
    with ScriptedSentinel(one, 1) as sentinel:
        store = store_of(sentinel)
        with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="not the primary"):
            load(store, how, TIMEOUT)
        assert one.count("GET") == 0
        sentinel.name(two, 2)
        assert load(store, how) == SECOND
        store.close()


@BOTH
def test_none_can_be_reached(how: str) -> None:
    store = store_of("127.0.0.1:1", "127.0.0.1:2")
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        load(store, how, TIMEOUT)
    store.close()


@BOTH
def test_a_sentinel_that_comes_up_after_the_store(one: Saying, how: str) -> None:
    with ScriptedSentinel(one, 1) as sentinel:
        port = sentinel.port
    store = store_of(f"127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable):
        load(store, how, 0.2)
    with ScriptedSentinel(one, 1, port):
        eventually(lambda: works(store, how))
    store.close()


def works(store: Store, how: str) -> bool:
    try:
        return load(store, how, TIMEOUT) == FIRST
    except StoreUnavailable:
        return False


def test_the_first_request_waits_for_no_thread_of_the_apps(one: Saying) -> None:
    """All of the loop's own threads are busy with the app's work."""
    done = threading.Event()
    store = store_of("127.0.0.1:1", timeout=TIMEOUT)

    async def use() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        asyncio.get_running_loop().run_in_executor(None, done.wait, 20)
        deadline = time.monotonic() + TIMEOUT
        with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
            await arun(store.load(b"k"), lambda command: store.aexecute(command, deadline))
        done.set()

    asyncio.run(use())
    store.close()


def test_cancelling_who_came_first_does_not_cancel_the_learning(one: Saying) -> None:
    with Saying() as silent:
        store = store_of(silent, timeout=20)

        async def use() -> None:
            deadline = time.monotonic() + 10
            tasks = [
                asyncio.ensure_future(
                    arun(store.load(b"k"), lambda command: store.aexecute(command, deadline))
                )
                for _ in range(20)
            ]
            await asyncio.to_thread(silent.wait_for, "SENTINEL")
            for task in tasks[:19]:
                task.cancel()
            silent.answer = ScriptedSentinel(one, 1).answer
            assert await tasks[19] == FIRST

        asyncio.run(use())
        store.close()


def test_a_child_forked_while_other_threads_hold_every_lock(one: Saying) -> None:
    with ScriptedSentinel(one, 1) as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster?read_from=replica"
        store = open_store(url, timeout=10)
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                carry(store, "sync", store.create(b"k", value(1), 60))
                store.close()

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):

                def use() -> None:
                    carry(store, "sync", store.create(b"k", value(1), 60))

                with forked(use) as child:
                    pass
                assert child.status == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        store.close()
