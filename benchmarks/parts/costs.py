"""What sessions cost their server: its CPU time and network for each verb, for a new connection,
and the memory of a store that is full of them.

The server counts its own CPU time, so that what else the machine does matters less to these figures
than to times.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any, Final

from benchmarks import data
from benchmarks.clients.values import TTL
from benchmarks.counters import (
    Counters,
    memcached_counters,
    memcached_stats,
    process_counters,
    redis_counters,
)
from benchmarks.parts import Context
from benchmarks.servers import HOST, Servers, run_servers
from benchmarks.sites import SECRET
from sessionstore import SessionConfig, SessionManager, Store, open_store
from sessionstore.core.flow import arun
from sessionstore.core.flow import run as drive
from sessionstore.core.token import handle_text
from sessionstore.stores.base import Entry
from tests.support.memcached_servers import run_memcached_tls
from tests.support.servers import run_redis_tls

VERBS: Final = ("create", "load", "replace", "delete")
TASKS: Final = 50
FILLING: Final = 98_304
"""Sessions: three quarters of a power of two. A hash table has as many buckets as the next one, so
that its share in a session's memory is near its mean over all numbers of sessions."""

PORTIONS: Final = 5
"""Of which the median counts."""

Read = Callable[[], Counters]
Versions = dict[int, Any]


def run(context: Context) -> dict[str, Any]:
    """``{server: {"verbs": {verb: {"alone": [µs], "together": [µs], "received": bytes, "sent":
    bytes}}, "connect": {"plain": µs, "tls": µs}, "filled": {...}}}``.

    *Alone*: one command at a time on a connection, as threads send them. *Together*: 50 tasks on
    one connection, whose commands share system calls.
    """
    count = 1_000 if context.quick else 5_000
    found: dict[str, Any] = {}
    with run_servers() as servers, servers.redis() as client:
        reads: dict[str, Read] = {
            "redis": lambda: redis_counters(client),
            "memcached": lambda: memcached_counters(servers.memcached_port),
        }
        urls = {"redis": servers.redis_url, "memcached": servers.memcached_url}
        value = _record(servers)
        for number, (name, read) in enumerate(reads.items()):
            context.progress(0.3 * number, f"{name}: verbs")
            found[name] = {"verbs": _verbs(urls[name], read, value, count)}
            context.progress(0.3 * number + 0.2, f"{name}: connections")
            found[name]["connect"] = {"plain": _connections(urls[name], read, count // 5)}
        context.progress(0.6, "TLS")
        with _tls_servers() as secure:
            for name, (url, read) in secure.items():
                found[name]["connect"]["tls"] = _connections(url, read, count // 5)
        context.progress(0.7, "filling")
        found["redis"]["filled"] = _fill_redis(servers, value)
        found["memcached"]["filled"] = _fill_memcached(servers, value)
    return found


def _record(servers: Servers) -> bytes:
    """What is stored for a session of the usual size."""
    store = open_store(servers.redis_url)
    manager = SessionManager(store, SessionConfig(secret_key=SECRET))
    session = manager.open(None)
    session.update(data.session())
    manager.commit(session)
    assert session.handle is not None
    with servers.redis() as client:
        stored = client.get(store.key(session.handle))
    store.close()
    assert isinstance(stored, bytes)
    return stored


def _key(number: int) -> bytes:
    return b"session:s:" + handle_text(number.to_bytes(12, "big")).encode()


def _flow(store: Store, verb: str, number: int, value: bytes, versions: Versions) -> Any:
    key = _key(number)
    if verb == "load":
        return store.load(key)
    if verb == "create":
        return store.create(key, value, TTL)
    if verb == "replace":
        return store.replace(key, value, TTL, versions[number])
    return store.delete(key, versions[number])


def _verbs(url: str, read: Read, value: bytes, count: int) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {verb: {} for verb in VERBS}
    for way, send in {"alone": _alone, "together": _together}.items():
        store = open_store(url)
        versions: Versions = {}
        # A loop of its own: the store's one connection is its loop's.
        with asyncio.Runner() as loop:
            for verb in VERBS:
                portions = []
                for first in range(0, count * PORTIONS, count):
                    before = read()
                    numbers = range(first, first + count)
                    versions |= send(loop, store, verb, value, versions, numbers)
                    portions.append(read() - before)
                found[verb][way] = [spent.cpu / count * 1e6 for spent in portions]
                if way == "alone":
                    received = sum(spent.received for spent in portions)
                    sent = sum(spent.sent for spent in portions)
                    found[verb]["received"] = received / count / PORTIONS
                    found[verb]["sent"] = sent / count / PORTIONS
            loop.run(store.aclose())
    return found


def _alone(
    _: asyncio.Runner, store: Store, verb: str, value: bytes, versions: Versions, numbers: range
) -> Versions:
    until = monotonic() + 600
    return {
        number: _version(
            drive(
                _flow(store, verb, number, value, versions),
                lambda command: store.execute(command, until),
            )
        )
        for number in numbers
    }


def _together(
    loop: asyncio.Runner, store: Store, verb: str, value: bytes, versions: Versions, numbers: range
) -> Versions:
    until = monotonic() + 600
    results: Versions = {}

    async def task(first: int) -> None:
        for number in numbers[first::TASKS]:
            flow = _flow(store, verb, number, value, versions)
            found = await arun(flow, lambda command: store.aexecute(command, until))
            results[number] = _version(found)

    async def tasks() -> None:
        await asyncio.gather(*map(task, range(TASKS)))

    loop.run(tasks())
    return results


def _version(result: Any) -> Any:
    """For the next verb. It is none if that is not what should have come: then that fails."""
    assert result is not None
    return result.version if isinstance(result, Entry) else result


def _connections(url: str, read: Read, count: int) -> float:
    """µs of CPU for a new connection and the first command on it, from a new process's store."""
    before = read()
    for _ in range(count):
        store, until = open_store(url), monotonic() + 60
        found = drive(store.load(_key(0)), partial(store.execute, deadline=until))
        assert found is None
        store.close()
    return (read() - before).cpu / count * 1e6


@contextmanager
def _tls_servers() -> Iterator[dict[str, tuple[str, Read]]]:
    with run_redis_tls() as server, run_memcached_tls() as other, server.client() as client:
        yield {
            "redis": (server.url, lambda: redis_counters(client)),
            # It answers nobody without TLS and a password, this module least of all.
            "memcached": (other.url, lambda: process_counters(other.child.process.pid)),
        }


def _fill_redis(servers: Servers, value: bytes) -> dict[str, float]:
    with servers.redis() as client:
        before = client.info("memory")["used_memory"]
        with client.pipeline(transaction=False) as pipeline:
            for number in range(FILLING):
                pipeline.set(_key(number), value, px=TTL * 1000)
                if number % 1000 == 999:
                    pipeline.execute()
            pipeline.execute()
        # Until it has moved to the larger table: it does so a little with each command, and by
        # itself while it is idle.
        for number in range(FILLING):
            if number % 64 == 0:
                client.get(_key(number))
        after = client.info("memory")["used_memory"]
        usage = client.memory_usage(_key(1))
        client.flushdb()
    assert usage is not None
    return {
        "count": FILLING,
        "value": len(value),
        "memory": (after - before) / FILLING,
        "usage": usage,
    }


def _fill_memcached(servers: Servers, value: bytes) -> dict[str, float]:
    port = servers.memcached_port
    with socket.create_connection((HOST, port), timeout=60) as connection:
        for number in range(FILLING):
            head = b"set %b 0 %d %d noreply\r\n" % (_key(number), TTL, len(value))
            connection.sendall(head + value + b"\r\n")
        connection.sendall(b"version\r\n")
        assert connection.recv(100).startswith(b"VERSION")
    stats, slabs = memcached_stats(port), memcached_stats(port, "slabs")
    [used] = (name for name, count in slabs.items() if _is_full(name, count))
    chunk = int(slabs[used.replace("used_chunks", "chunk_size")])
    pages = int(slabs[used.replace("used_chunks", "total_pages")])
    return {
        "count": FILLING,
        "value": len(value),
        "item": int(stats["bytes"]) / int(stats["curr_items"]),
        "chunk": chunk,
        "per page": int(slabs[used.replace("used_chunks", "chunks_per_page")]),
        "pages": pages,
        "hash bytes": int(stats["hash_bytes"]),
    }


def _is_full(name: str, count: str) -> bool:
    return name.endswith(":used_chunks") and int(count) >= FILLING
