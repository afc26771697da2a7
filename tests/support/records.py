"""Records as whoever has the key could write them, put into a store past its sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from sessionstore.core import codec, record
from sessionstore.core.record import Record
from sessionstore.core.sealing import TAG_BYTES, Sealer
from tests.support.sites import SECRET


def handle_in(key: bytes) -> str:
    """The handle in a store's key."""
    return key.decode().rpartition(":")[2]


def rewrite(
    client: redis.Redis, key: bytes, change: Callable[[Record], Record], secret: str = SECRET
) -> Record:
    """Change a stored record, and its expiry not."""
    sealer = Sealer([SECRET.encode()])
    value: Any = client.get(key)
    changed = change(record.decode(value, handle_in(key), sealer))
    written = record.encode(changed, handle_in(key), Sealer([secret.encode()]))
    client.set(key, written, keepttl=True)
    return changed


def with_payload(value: bytes, handle: str, payload: bytes) -> bytes:
    """The same (uncompressed) record with another payload, which may be anything."""
    sealer = Sealer([SECRET.encode()])
    before = codec.encode(record.decode(value, handle, sealer).attributes)
    head = value[: -len(before) - TAG_BYTES]
    assert value[len(head) : -TAG_BYTES] == before
    return sealer.seal(handle, head, value[1:13], payload)
