"""What a session takes in Redis: its value's length, and what the server says of its memory."""

from __future__ import annotations

from typing import Any, Final

import ormsgpack

from benchmarks import data
from benchmarks.parts import Context
from benchmarks.servers import Servers
from benchmarks.sites import SECRET, SITES
from benchmarks.workers import run_workers
from sessionstore import SessionConfig, SessionManager, open_store
from sessionstore.core import codec

SIZES: Final = (200, 600, 4096)
"""Bytes of a session, as JSON without spaces."""

OURS: Final[dict[str, dict[str, Any]]] = {
    "no compression": {"compression": "none"},
    "zlib": {"compression": "zlib", "compress_over": 100},
    "zstd": {"compression": "zstd", "compress_over": 100},
    "encrypted": {"compression": "none", "encryption_keys": (SECRET,)},
    "zstd, encrypted": {
        "compression": "zstd",
        "compress_over": 100,
        "encryption_keys": (SECRET,),
    },
}
"""Settings of sessionstore."""

PEERS: Final = (
    "flask:flask-session",
    "starlette:starsessions",
    "django:cache",
    "django:django-redis",
)


def run(context: Context) -> dict[str, Any]:
    """``{title: {size: {"value": bytes, "memory": bytes}}}``; ours with ``"payload"`` as well."""
    found: dict[str, Any] = {}
    for title, settings in OURS.items():
        found[f"sessionstore, {title}"] = {
            str(size): _ours(context.servers, size, settings) for size in SIZES
        }
    with run_workers(PEERS, context.servers, context.environment) as workers:
        for name in PEERS:
            found[SITES[name].title] = {}
            for size in SIZES:
                before = _keys(context.servers)
                workers[name].ask("begin", count=1, size=size)
                [key] = _keys(context.servers) - before
                found[SITES[name].title][str(size)] = _measured(context.servers, key)
    found["the bytes themselves"] = {str(size): _bare(context.servers, size) for size in SIZES}
    return found


def _ours(servers: Servers, size: int, settings: dict[str, Any]) -> dict[str, int]:
    values = data.session(size)
    store = open_store(servers.redis_url)
    manager = SessionManager(store, SessionConfig(secret_key=SECRET, **settings))
    session = manager.open(None)
    session.update(values)
    cookie = manager.commit(session)
    assert cookie is not None and dict(manager.open(cookie.value)) == values
    assert session.handle is not None
    key = store.key(session.handle)
    store.close()
    # What the attributes are before the record is made of them.
    payload = ormsgpack.packb({name: codec.encode(value) for name, value in values.items()})
    return _measured(servers, key) | {"payload": len(payload)}


def _bare(servers: Servers, size: int) -> dict[str, int]:
    key = b"session:s:" + b"b" * 16
    with servers.redis() as client:
        client.set(key, "v" * size, px=3_600_000)
    return _measured(servers, key)


def _measured(servers: Servers, key: bytes) -> dict[str, int]:
    with servers.redis() as client:
        memory = client.memory_usage(key)
        assert memory is not None
        return {"value": client.strlen(key), "memory": memory}


def _keys(servers: Servers) -> set[bytes]:
    with servers.redis() as client:
        return set(client.scan_iter(count=1000))
