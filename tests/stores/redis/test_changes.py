"""What becomes of connections, and of those who wait on them, when the topology changes.

The servers are scripted: ``old`` is frozen in whatever it was doing when ``new`` took its place.
"""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from sessionstore.core.errors import OutcomeUnknown
from sessionstore.core.verbs import Entry
from sessionstore.stores.redis import RedisStore
from sessionstore.stores.redis.endpoint import Endpoint
from sessionstore.stores.redis.greetings import PRIMARY
from sessionstore.stores.redis.topology import Node, Topology
from sessionstore.stores.servers.lines import EXCLUSIVE
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.stores.users import Users
from tests.support.scripted_topology import MASTER, Saying, eventually

TIMEOUT = 20.0
"""Of stores here: what ends much sooner did not wait for it."""

SOON = 2.0
ENTRY = Entry(value(1), value(1)[1:13])


class Moving(Topology):
    """One primary, that can become another."""

    def __init__(self, primary: Node) -> None:
        super().__init__("moving")
        self.primary = primary
        self.meanwhile: Callable[[], object] = lambda: None
        """Happens between the choice of a node and its use."""

    def primary_for(self, key: bytes) -> Node:
        chosen = self.primary
        self.meanwhile()
        return chosen

    def primaries(self) -> Sequence[Node]:
        return (self.primary,)

    def replicas_for(self, key: bytes) -> Sequence[Node]:
        return ()

    def nodes(self) -> Sequence[Node]:
        return (self.primary,)

    def move(self, primary: Node) -> None:
        self.primary = primary
        self._changed()


def node(server: Saying, *, asked: bool = False) -> Node:
    """A server, to be asked for its role or not."""
    endpoint = Endpoint("127.0.0.1", server.port)
    return Node(replace(endpoint, greeting=PRIMARY) if asked else endpoint, TIMEOUT)


@pytest.fixture
def old() -> Iterator[Saying]:
    with Saying() as server:
        yield server


@pytest.fixture
def new() -> Iterator[Saying]:
    with Saying(
        HELLO=MASTER,
        GET=b"$13\r\n%b\r\n" % value(1),
        SET=b"+OK\r\n",
        WAIT=b":1\r\n",
        WAITAOF=b"*2\r\n:1\r\n:1\r\n",
    ) as server:
        yield server


@pytest.fixture
def topology(old: Saying) -> Moving:
    return Moving(node(old))


@pytest.fixture
def store(topology: Moving) -> Iterator[RedisStore]:
    store = RedisStore(topology, timeout=TIMEOUT)
    yield store
    store.close()


@pytest.fixture
def users(store: RedisStore, how: str) -> Iterator[Users]:
    users = Users(store, how)
    yield users
    users.close()


@BOTH
def test_whoever_waits_is_told_at_once(
    store: RedisStore, topology: Moving, old: Saying, new: Saying, users: Users
) -> None:
    read, write = users(store.load(b"k")), users(store.create(b"k", value(1), 60))
    old.wait_for("GET")
    old.wait_for("SET")
    with Stopwatch(SOON):
        topology.move(node(new, asked=True))
        assert read.result(20) == ENTRY
        with pytest.raises(OutcomeUnknown):
            write.result(20)
    eventually(lambda: old.open == 0)
    assert (old.count("GET"), old.count("SET"), new.count("SET")) == (1, 1, 0)


@BOTH
def test_idle_connections_are_closed_too(
    store: RedisStore, topology: Moving, old: Saying, new: Saying, users: Users
) -> None:
    old.says["GET"] = b"$-1\r\n"
    assert users(store.load(b"k")).result(20) is None
    assert old.open == 1
    topology.move(node(new))
    eventually(lambda: old.open == 0)


def test_who_waits_for_a_free_connection_does_not_open_one_to_the_old_server(
    topology: Moving, old: Saying, new: Saying
) -> None:
    store = RedisStore(topology, timeout=TIMEOUT, max_connections=2)
    with ThreadPoolExecutor(6) as threads:
        reads = [threads.submit(carry, store, "sync", store.load(b"k")) for _ in range(6)]
        old.wait_for("GET", 2)
        with Stopwatch(SOON):
            topology.move(node(new))
            assert [read.result(20) for read in reads] == [ENTRY] * 6
    assert (old.connections, old.count("GET")) == (2, 2)
    assert store.connections <= 2
    store.close()


def test_who_waits_for_a_durable_write_does_not_open_one_either(
    topology: Moving, old: Saying, new: Saying
) -> None:
    store = RedisStore(topology, timeout=TIMEOUT, durable="all")
    users = Users(store, "async")
    writes = [users(store.create(b"k", value(1), 60)) for _ in range(EXCLUSIVE + 4)]
    old.wait_for("SET", EXCLUSIVE)
    with Stopwatch(SOON):
        topology.move(node(new))
        results = [write.exception(20) or write.result() for write in writes]
    assert [type(result) for result in results[:EXCLUSIVE]] == [OutcomeUnknown] * EXCLUSIVE
    assert results[EXCLUSIVE:] == [ENTRY.version] * 4
    assert (old.connections, old.count("SET")) == (EXCLUSIVE, EXCLUSIVE)
    eventually(lambda: old.open == 0)
    users.close()


@BOTH
def test_the_topology_changes_after_the_choice(
    store: RedisStore, topology: Moving, old: Saying, new: Saying, users: Users
) -> None:
    topology.meanwhile = lambda: topology.move(fresh)
    fresh = node(new)
    with Stopwatch(SOON):
        assert users(store.load(b"k")).result(20) == ENTRY
    assert old.commands == []
    eventually(lambda: old.open == 0)


@BOTH
def test_the_topology_changes_while_a_connection_is_opened(
    store: RedisStore, old: Saying, new: Saying, users: Users, topology: Moving
) -> None:
    """The old server wakes just then, and still believes that it is the primary."""
    topology.move(node(old, asked=True))
    topology.meanwhile = lambda: None

    def answer(command: list[bytes]) -> bytes:
        if command[0] == b"HELLO":
            topology.move(node(new))
            return MASTER
        return b"$-1\r\n"

    old.answer = answer
    with Stopwatch(SOON):
        assert users(store.load(b"k")).result(20) == ENTRY
    assert [command[0] for command in old.commands] == [b"HELLO"]
    eventually(lambda: old.open == 0)


@pytest.mark.parametrize("how", ["async"])
def test_nobody_waits_for_a_connection_to_the_old_server(
    store: RedisStore, old: Saying, new: Saying, users: Users, topology: Moving
) -> None:
    topology.move(node(old, asked=True))
    read = users(store.load(b"k"))
    old.wait_for("HELLO")
    with Stopwatch(SOON):
        topology.move(node(new))
        assert read.result(20) == ENTRY
    eventually(lambda: old.open == 0)


# -- connections for durable writes --


@pytest.fixture
def durable(new: Saying) -> Iterator[RedisStore]:
    store = RedisStore(Moving(node(new)), timeout=0.5, durable="all")
    yield store
    store.close()


async def test_a_durable_write_that_failed_does_not_harm_the_next(
    durable: RedisStore, new: Saying
) -> None:
    async def write() -> Any:
        deadline = time.monotonic() + durable.timeout
        return await durable.aexecute(next(durable.create(b"k", value(1), 60)), deadline)

    spoken = dict(new.says)
    new.says.update(dict.fromkeys(("SET", "WAIT", "WAITAOF"), b""))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await write()
    new.says.clear()
    new.says.update(spoken)
    for _ in range(3):
        assert await write() == b"OK"
    assert new.connections == 3, "and the one that is well is used again"
    await durable.aclose()
    eventually(lambda: new.open == 0)


async def test_a_cancelled_durable_write_leaves_its_reply_to_nobody(
    durable: RedisStore, new: Saying
) -> None:
    durable.timeout = TIMEOUT

    async def write() -> Any:
        deadline = time.monotonic() + TIMEOUT
        return await durable.aexecute(next(durable.create(b"k", value(1), 60)), deadline)

    for after in ("SET", "WAIT"):
        says = new.says.pop(after)
        before = new.count(after)
        task = asyncio.create_task(write())
        await asyncio.to_thread(new.wait_for, after, before + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        new.says[after] = says
        assert await write() == b"OK"
        assert await write() == b"OK"
    await durable.aclose()
    eventually(lambda: new.open == 0)


@pytest.mark.parametrize("asked", [True, False])
def test_what_was_let_go_of_is_closed_before_the_loop_may_end(
    old: Saying, new: Saying, *, asked: bool
) -> None:
    """Also what was only being opened: a transport that outlives its loop is never closed."""
    topology = Moving(node(old, asked=asked))
    store = RedisStore(topology, timeout=TIMEOUT)
    loop = asyncio.new_event_loop()
    load = loop.create_task(store.aexecute(next(store.load(b"k")), time.monotonic() + TIMEOUT))

    async def until_asked() -> None:
        await asyncio.to_thread(old.wait_for, "HELLO" if asked else "GET")

    loop.run_until_complete(until_asked())
    load.cancel()
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(load)
    loop.run_until_complete(loop.shutdown_default_executor())
    topology.move(node(new))
    loop.run_until_complete(store.aclose())
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        loop.close()
        del loop, load
        gc.collect()
