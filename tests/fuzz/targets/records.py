"""Stored records: what nobody has sealed is refused; what was sealed is a record, or refused."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import zstandard

from sessionstore.core import codec, record
from sessionstore.core.errors import CodecError, RecordUnreadable, SessionTooLarge
from sessionstore.core.record import FORMAT, Previous, Record
from sessionstore.core.sealing import PLAIN, TAG_BYTES, ZLIB, ZSTD, Sealer
from tests.fuzz.source import Source

HANDLE: Final = "FuzzedFuzzedFuzz"
KEY, CIPHER = b"the fuzzer's key of 32 bytes or more", b"the fuzzer's key of encryption, 32 B"
MAX_SIZE: Final = 2048
SEALERS: Final = (
    Sealer((KEY,), compression="zlib", compress_over=64, max_size=MAX_SIZE),
    Sealer((KEY,), (CIPHER,), compression="zstd", compress_over=64, max_size=MAX_SIZE),
)
REASONS: Final = {"format", "key", "authenticator", "malformed"}

_HEAD_BYTES: Final = 94
_FLAGS, _SUBJECT_LENGTH = 15, slice(92, 94)  # where they are in the head: see core/record.py
_ENCRYPTED: Final = 4

_FRESH: Final = Record(
    counter=1,
    write_ids=(b"write id",),
    secret_hash=bytes(range(32)),
    previous=None,
    epoch=0,
    created=1_800_000_000.125,
    authenticated=None,
    touched=1_800_000_000.125,
    idle=1_209_600.0,
    absolute=1_802_592_000.125,
    browser=False,
    subject=None,
    attributes={},
)
_FULL: Final = Record(
    counter=2**32 - 1,
    write_ids=(b"write  4", b"write  3", b"write  2", b"write  1"),
    secret_hash=bytes(range(32)),
    previous=Previous(b"previous", 1_800_000_010.0),
    epoch=2**32 - 1,
    created=1_800_000_000.0,
    authenticated=1_800_000_000.0,
    touched=1_800_000_001.0,
    idle=3600.0,
    absolute=1_802_592_000.0,
    browser=True,
    subject="user \u00e9",
    attributes={"cart": codec.encode({"apples": [1, 2]}), "name": codec.encode("x" * 200)},
)
GENUINE: Final = [
    record.encode(each, HANDLE, sealer) for each in (_FRESH, _FULL) for sealer in SEALERS
]


def raw(data: bytes) -> None:
    """Whatever lies in the store."""
    for sealer in SEALERS:
        try:
            record.decode(data, HANDLE, sealer)
        except RecordUnreadable as error:
            assert error.reason in REASONS
        else:
            assert data in GENUINE


def sealed(data: bytes) -> None:
    """The same, sealed with the right key, so that the content itself is looked at."""
    source = Source(data)
    number = source.number()
    sealer, packed = SEALERS[number & 1], _PACKERS[number >> 1 & 3]
    value = _seal(sealer, bytearray(source.take(_HEAD_BYTES)), source, packed)
    try:
        found = record.decode(value, HANDLE, sealer)
    except RecordUnreadable as error:
        assert error.reason in {"format", "malformed"}, error.reason
        return
    for name, attribute in found.attributes.items():
        hash(name)
        with suppress(CodecError):
            codec.decode(attribute)
    try:
        again = record.encode(found, HANDLE, sealer)
    except SessionTooLarge:
        assert len(value) > MAX_SIZE // 1000, "the limit was reached by compression alone"
        return
    read = record.decode(again, HANDLE, sealer)
    assert read == found
    assert record.encode(read, HANDLE, sealer) == again


def _seal(sealer: Sealer, head: bytearray, source: Source, packed: int) -> bytes:
    if len(head) < _HEAD_BYTES:
        return bytes(head)
    head[0] = FORMAT
    head[13:15] = sealer.key_id
    flags = head[_FLAGS] & ~_ENCRYPTED | (_ENCRYPTED if sealer.encrypts else 0)
    head[_FLAGS] = flags
    more = 8 * (flags >> 5 & 3) + (16 if flags & 16 else 0)
    more += int.from_bytes(head[_SUBJECT_LENGTH], "big")
    whole = bytes(head) + source.take(more).ljust(more, b"\0")
    payload = _pack(source.rest(), packed)
    return sealer.seal(HANDLE, whole, whole[1:13], payload)


_PACKERS: Final = (PLAIN, ZLIB, ZSTD, PLAIN)


def _pack(data: bytes, method: int) -> bytes:
    if method == ZLIB:
        return zlib.compress(data)
    return zstandard.compress(data) if method == ZSTD else data


def envelope(data: bytes) -> None:
    """Bytes that are to be decompressed, and bytes that were compressed here."""
    source = Source(data)
    method, payload = source.number() % 4, source.rest()
    for sealer in SEALERS:
        try:
            made = sealer.decompress(method, payload)
        except RecordUnreadable as error:
            assert error.reason in {"format", "malformed"}
        else:
            assert len(made) <= MAX_SIZE
        chosen, packed = sealer.compress(payload)
        if len(payload) <= MAX_SIZE:
            assert sealer.decompress(chosen, packed) == payload


# -- seeds --


def seeds() -> Iterator[bytes]:
    """Genuine records, cut, and of another session."""
    yield from GENUINE
    for value in GENUINE:
        yield value[:-1]
        yield value + b"\0"
    yield record.encode(_FULL, HANDLE[::-1], SEALERS[0])
    yield record.encode(_FULL, HANDLE, Sealer((CIPHER,)))


def sealed_seeds() -> Iterator[bytes]:
    """What genuine records were before they were sealed."""
    for made in (_FRESH, _FULL):
        plain = Sealer((KEY,), compression="none")
        head = record.encode(made, HANDLE, plain)[:-TAG_BYTES]
        payload = codec.encode(made.attributes)
        for number in range(2):
            yield bytes((number,)) + head
        for flag, number in ((ZLIB, 2), (ZSTD, 4)):
            with_flag = bytearray(head)
            with_flag[_FLAGS] |= flag
            yield bytes((number,)) + with_flag
            yield bytes((number | 1,)) + with_flag[: -len(payload)] + bytes(MAX_SIZE + 1)


def envelope_seeds() -> Iterator[bytes]:
    """Bombs, and small ones that are right."""
    for size in (10, MAX_SIZE, 10**6):
        yield bytes((ZLIB,)) + zlib.compress(bytes(size), 9)
        yield bytes((ZSTD,)) + zstandard.ZstdCompressor(level=19).compress(bytes(size))
    yield bytes((PLAIN,)) + b"payload"
    yield bytes((ZSTD,)) + zstandard.ZstdCompressor(write_content_size=False).compress(bytes(99))
    # A window of 2 GiB, which is refused, and a frame that announces 2^63 bytes.
    yield bytes((ZSTD,)) + b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\0\0"
    yield bytes((ZSTD,)) + b"\x28\xb5\x2f\xfd\xc0\x00" + b"\xff" * 7 + b"\x7f\x01\0\0"
