"""``failover=next`` on real servers: a lost one's share goes on at the next, and it comes back only
empty."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest

from sessionstore.core.errors import ConfigurationError, StoreError
from sessionstore.core.flow import Flow
from sessionstore.stores.base import Deleted, Entry, Missing
from sessionstore.stores.memcached import MemcachedStore, membership
from sessionstore.stores.memcached.notes import State
from sessionstore.testing.lifecycle import forked
from tests.stores.carrying import BOTH, carry
from tests.stores.memcached.conftest import memcached
from tests.stores.redis.test_gevent import keeps_its_replies_apart
from tests.support.children import Child
from tests.support.memcached_servers import (
    MemcachedRing,
    MemcachedServer,
    run_memcached_ring,
    run_memcached_tls,
)
from tests.support.scripted_memcached import ScriptedMemcached

QUICK = membership.Pace(pause=0.05, look=0.3, lease=0.5, settle=0.6)
AFTER = 0.2
"""Seconds of silence; with the looks and the settling, a frozen server is left out after two."""
READY = 20
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "PACE", QUICK)


@pytest.fixture
def ring() -> Iterator[MemcachedRing]:
    """Servers that a test may stop."""
    with run_memcached_ring(3) as ring:
        yield ring
        for server in ring.servers:
            server.child.process.kill()  # asked politely, it takes a second


Opens = Callable[..., MemcachedStore]


@pytest.fixture
def opens(ring: MemcachedRing, prefix: str) -> Iterator[Opens]:
    """``opens()``: another store of the three servers."""
    with ExitStack() as stack:

        def make(**options: Any) -> MemcachedStore:
            options = {"failover": "next", "failover_after": AFTER, "timeout": 1.0, **options}
            store = memcached(ring.url, prefix=prefix, **options)
            stack.callback(store.close)
            return store

        yield make


def name_of(server: MemcachedServer) -> str:
    return server.url.removeprefix("memcached://")


def key_on(store: MemcachedStore, server: MemcachedServer) -> bytes:
    """A new key of this server's share."""
    return key_at(store, name_of(server))


def key_at(store: MemcachedStore, name: str) -> bytes:
    while True:
        key = store.key(os.urandom(8).hex())
        node = store._topology.node_for(key)
        if node is not None and node.name == name:
            return key


def freeze(server: MemcachedServer) -> None:
    server.child.freeze()


def wake(server: MemcachedServer) -> None:
    server.child.process.send_signal(signal.SIGCONT)


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_a_later_second() -> None:
    """A server that is started anew within the second of its last start cannot be told from one
    that has never been away, and is kept out. For one that runs by now, that second is over."""
    second = int(time.time())
    until(lambda: int(time.time()) > second)


def error_of(store: MemcachedStore, server: MemcachedServer) -> str | None:
    health = {node.node: node for node in store.health()}[name_of(server)]
    assert health.available is (health.error is None)
    return health.error


def until_known(store: MemcachedStore) -> None:
    """Until it knows when each server was started. Of one that it misses before that, it says the
    latest that it can have been: restarted within a second of that, it would be kept out."""
    membership = store._membership
    assert membership is not None
    until(lambda: all(seen.note is not None for seen in membership._seen.values()))


def until_left_out(store: MemcachedStore, server: MemcachedServer) -> None:
    until(lambda: "is left out" in (error_of(store, server) or ""))


def until_kept_out(store: MemcachedStore, server: MemcachedServer) -> None:
    until(lambda: "kept out" in (error_of(store, server) or ""))


def until_in(store: MemcachedStore, server: MemcachedServer) -> None:
    def is_in() -> bool:
        states = store._membership._states  # type: ignore[union-attr]
        found = {node.name: state for node, state in states.items()}
        return found[name_of(server)] is State.IN

    until(is_in)


def settled(store: MemcachedStore, how: str, flow: Callable[[], Flow[Any]]) -> Any:
    """The flow's result, once it has one."""
    deadline = time.monotonic() + READY
    while True:
        try:
            return carry(store, how, flow())
        except StoreError:
            if time.monotonic() > deadline:
                raise


@BOTH
def test_a_lost_servers_share_goes_on_and_its_sessions_do_not_come_back(
    ring: MemcachedRing, opens: Opens, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, other, idle = opens(), opens(), opens()
    lost = ring.servers[0]
    old, new = key_on(store, lost), key_on(store, lost)
    kept = {key_on(store, server): os.urandom(8) for server in ring.servers[1:]}
    carry(store, how, store.create(old, b"old", 60))
    for key, value in kept.items():
        carry(other, how, other.create(key, value, 60))
    carry(idle, how, idle.load(old))
    freeze(lost)
    assert settled(store, how, lambda: store.load(old)) is None
    for key, value in kept.items():
        entry = carry(store, how, store.load(key))
        assert entry is not None
        assert entry.value == value
    # The user is logged out; what that ended must not be seen again.
    assert isinstance(carry(store, how, store.delete(old)), Missing)
    version = carry(store, how, store.create(new, b"new", 60))
    assert settled(other, how, lambda: other.load(new)) == Entry(b"new", version)
    wake(lost)
    for each in (store, other, idle):
        for _ in range(20):
            assert settled(each, how, lambda each=each: each.load(old)) is None
        until_kept_out(each, lost)
        assert carry(each, how, each.load(old)) is None
    stranger = opens()
    assert carry(stranger, how, stranger.load(old)) is None
    entry = carry(stranger, how, stranger.load(new))
    assert entry is not None
    version = carry(stranger, how, stranger.replace(new, b"newer", 60, entry.version))
    assert isinstance(version, int)
    assert carry(idle, how, idle.load(new)) == Entry(b"newer", version)
    text = f"{name_of(lost)} is kept out, because it came back with what it had"
    assert text in caplog.text


@pytest.mark.once
@pytest.mark.parametrize(("cure", "how"), [("restart", "sync"), ("flush_all", "async")])
def test_it_is_taken_back_empty(
    ring: MemcachedRing,
    opens: Opens,
    how: str,
    cure: str,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    store, other = opens(), opens()
    lost = ring.servers[0]
    old, new, newest = (key_on(store, lost) for _ in range(3))
    carry(store, how, store.create(old, b"old", 60))
    assert carry(other, how, other.load(old)) is not None
    freeze(lost)
    until_left_out(store, lost)
    until_left_out(other, lost)
    carry(store, how, store.create(new, b"new", 60))
    again = None
    if cure == "restart":
        lost.child.process.kill()
        lost.child.process.wait()
        until_a_later_second()
        again = Child(lost.child.command, tmp_path)
    else:
        wake(lost)
        until_kept_out(store, lost)
        assert carry(store, how, store.load(old)) is None
        with socket.create_connection(lost.address) as connection:  # type: ignore[arg-type]
            connection.sendall(b"flush_all\r\n")
            assert connection.recv(10) == b"OK\r\n"
    try:
        until_in(store, lost)
        until_in(other, lost)
        assert settled(store, how, lambda: store.load(old)) is None
        # It stays where it was made.
        entry = carry(other, how, other.load(new))
        assert entry is not None
        assert entry.version.node.name != name_of(lost)  # type: ignore[union-attr]
        assert carry(other, how, other.delete(new, entry.version)) == Deleted()
        version = settled(store, how, lambda: store.create(newest, b"newest", 60))
        assert version.node.name == name_of(lost)
        assert carry(other, how, other.load(newest)) == Entry(b"newest", version)
    finally:
        if again is not None:
            again.stop()
    why = "it was restarted" if cure == "restart" else "it was flushed"
    assert f"{name_of(lost)} is taken back: {why}" in caplog.text


@pytest.mark.once
def test_a_process_that_was_idle_all_the_time(ring: MemcachedRing, opens: Opens) -> None:
    """It has never read a note, and is suspended, too, while the server is left out."""
    store, lost = opens(), ring.servers[0]
    key = key_on(store, lost)
    carry(store, "sync", store.create(key, b"old", 60))
    program = [sys.executable, "-m", "tests.stores.memcached.idle_process"]
    with subprocess.Popen(
        [*program, ring.url, store.prefix, key.decode()],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as idle:
        assert idle.stdin is not None
        assert idle.stdout is not None
        assert idle.stdout.readline() == "b'old'\n"
        idle.send_signal(signal.SIGSTOP)
        freeze(lost)
        until_left_out(store, lost)
        assert isinstance(carry(store, "sync", store.delete(key)), Missing)
        wake(lost)
        idle.send_signal(signal.SIGCONT)
        idle.stdin.write("go on\n" * 30)
        idle.stdin.close()
        answers = idle.stdout.read().split("\n")[:-1]
        assert len(answers) == 30
        assert set(answers) <= {"None", "StoreUnavailable"}
        assert answers[-1] == "None"


@pytest.mark.once
def test_a_forked_child_looks_by_itself(ring: MemcachedRing, opens: Opens) -> None:
    store, lost = opens(), ring.servers[0]
    key = key_on(store, lost)
    carry(store, "sync", store.create(key, b"old", 60))
    freeze(lost)

    def child() -> None:
        assert settled(store, "sync", lambda: store.load(key)) is None
        carry(store, "sync", store.create(key_on(store, lost), b"new", 60))
        assert error_of(store, lost) == "it does not answer, and is left out"

    with forked(child) as process:
        assert settled(store, "sync", lambda: store.load(key)) is None
    assert process.status == 0
    wake(lost)
    until_kept_out(store, lost)

    def second_child() -> None:
        assert carry(store, "sync", store.load(key)) is None
        assert "kept out" in (error_of(store, lost) or "")

    with forked(second_child) as process:
        pass
    assert process.status == 0


@pytest.mark.once
def test_two_event_loops(ring: MemcachedRing, opens: Opens) -> None:
    store, lost = opens(), ring.servers[0]
    key = key_on(store, lost)

    async def create() -> None:
        flow = store.create(key, b"old", 60)
        await asyncio.to_thread(carry, store, "async", flow)

    async def both() -> list[Any]:
        return await asyncio.gather(
            asyncio.to_thread(settled, store, "async", lambda: store.load(key)),
            asyncio.to_thread(settled, store, "async", lambda: store.load(key)),
        )

    asyncio.run(create())
    assert [entry.value for entry in asyncio.run(both())] == [b"old", b"old"]
    freeze(lost)
    assert asyncio.run(both()) == [None, None]


@pytest.mark.once
def test_closed_and_used_again(ring: MemcachedRing, opens: Opens) -> None:
    """What has happened meanwhile is known before the first answer."""
    store, other, lost = opens(), opens(), ring.servers[0]
    key = key_on(store, lost)
    carry(store, "sync", store.create(key, b"old", 60))
    store.close()
    carry(other, "sync", other.load(key))
    freeze(lost)
    until_left_out(other, lost)
    wake(lost)
    until_kept_out(other, lost)
    assert carry(store, "sync", store.load(key)) is None
    assert "kept out" in (error_of(store, lost) or "")


def vigils() -> int:
    return sum(thread.name.startswith("sessionstore-vigil") for thread in threading.enumerate())


@pytest.mark.once
@pytest.mark.parametrize("end", ["closed", "forgotten"])
def test_its_threads_end(ring: MemcachedRing, prefix: str, end: str) -> None:
    store = memcached(ring.url, prefix=prefix, failover="next")
    assert vigils() == 0, "a store that is not used has none"
    carry(store, "sync", store.load(store.key("0" * 16)))
    assert vigils() == 3
    if end == "closed":
        store.close()
    else:
        del store
        gc.collect()
    until(lambda: vigils() == 0)


@pytest.mark.once
def test_no_greenlet_gets_anothers_reply(memcached_ring: MemcachedRing, prefix: str) -> None:
    keeps_its_replies_apart(f"{memcached_ring.url}?failover=next", prefix, servers=3)


@pytest.mark.once
@pytest.mark.parametrize("sasl", [False, True])
def test_its_own_connections_log_in(tmp_path: Path, prefix: str, sasl: bool) -> None:
    with run_memcached_tls(sasl=sasl) as one, run_memcached_tls(sasl=sasl) as two:
        authorities = tmp_path / "authorities.pem"
        assert one.certificates is not None
        assert two.certificates is not None
        authorities.write_bytes(one.certificates.ca.read_bytes() + two.certificates.ca.read_bytes())
        port = cast("tuple[str, int]", two.address)[1]
        url = one.url.replace("?", f",localhost:{port}?").replace(
            quote(str(one.certificates.ca)), quote(str(authorities))
        )
        store = memcached(url, prefix=prefix, failover="next", failover_after=AFTER, timeout=2)
        node, _ = store._topology.nodes()
        key = key_at(store, node.name)
        carry(store, "sync", store.create(key, b"old", 60))
        freeze(one)
        assert settled(store, "sync", lambda: store.load(key)) is None
        assert [each.error for each in store.health()] == [
            "it does not answer, and is left out",
            None,
        ]
        wake(one)
        until(lambda: "kept out" in (store.health()[0].error or ""))
        store.close()
        for server in (one, two):
            server.child.process.kill()


class Reticent(socketserver.ThreadingTCPServer):
    """In front of a server, refuses its statistics and hangs up."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Reticent)
        self.behind = address


class _Reticent(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Reticent)
        with socket.create_connection(self.server.behind) as behind, suppress(OSError):
            while request := self.request.recv(65536):
                if request == b"stats\r\n":
                    self.request.sendall(b"CLIENT_ERROR not for you\r\n")
                    return
                behind.sendall(request)
                self.request.sendall(behind.recv(65536))


@pytest.mark.once
def test_one_that_does_not_tell_when_it_was_started(ring: MemcachedRing, prefix: str) -> None:
    """It is used like another one, and kept out until nothing that it has can be a session."""
    lost = ring.servers[0]
    with Reticent(lost.address) as reticent:
        threading.Thread(target=reticent.serve_forever, args=(0.01,), daemon=True).start()
        name = f"127.0.0.1:{reticent.server_address[1]}"
        url = f"memcached://{name},{name_of(ring.servers[1])}"
        options = {"failover": "next", "failover_after": AFTER, "keep_out": 3.0, "timeout": 1.0}
        store = memcached(url, prefix=prefix, **options)
        key = key_at(store, name)
        carry(store, "sync", store.create(key, b"old", 1))
        assert all(node.available for node in store.health())
        freeze(lost)
        assert settled(store, "sync", lambda: store.load(key)) is None
        wake(lost)
        until(lambda: "kept out" in (store.health()[0].error or ""))
        until(lambda: "kept out" not in (store.health()[0].error or ""))
        assert settled(store, "sync", lambda: store.load(key)) is None
        assert store.health()[0].error is None
        store.close()
        reticent.shutdown()


@pytest.mark.once
def test_a_server_that_refuses_us_is_not_lost(ring: MemcachedRing, prefix: str) -> None:
    """With a wrong password on one machine, that would log out the users of all others."""
    with ScriptedMemcached("meta", b"SERVER_ERROR out of order\r\n") as broken:
        name = f"127.0.0.1:{broken.port}"
        url = f"memcached://{name},{name_of(ring.servers[1])}"
        store = memcached(url, prefix=prefix, failover="next", failover_after=0.01)
        with pytest.raises(StoreError):
            carry(store, "sync", store.load(key_at(store, name)))
        asked = len(broken.requests)
        until(lambda: len(broken.requests) > asked + 20)
        assert store._membership is not None
        assert set(store._membership._states.values()) == {State.IN}
        store.close()


def test_one_server_has_no_next() -> None:
    with pytest.raises(ConfigurationError, match="one server has no next"):
        memcached("memcached://a?failover=next")
    with pytest.raises(ConfigurationError, match="unknown option 'failover'"):
        memcached("memcached+unix:///run/m.sock?failover=next")


@pytest.mark.parametrize("option", ["failover_after", "keep_out"])
@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_no_time_at_all(option: str, seconds: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        memcached(f"memcached://a,b?failover=next&{option}={seconds}")
