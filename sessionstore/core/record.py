"""The stored record <-> bytes.

==========================  ======  ==========================================================
 field                       bytes  why
==========================  ======  ==========================================================
 format                          1  1; any other is left alone
 revision                       12  a counter (4) and random bits (8): compare-and-set; the
                                    random bits are this write's id
 key id                          2  tells an unknown key from a forgery
 flags                           1  compression (2 bits), encrypted, browser session,
                                    previous secret, earlier write ids (2 bits)
 secret hash                    32  SHA-256 of the token's secret
 epoch                           4  counts changes of subject
 created, authenticated,     8 x 4  milliseconds since the epoch; authenticated 0: never
 touched, absolute deadline
 idle                            8  milliseconds
 subject length                  2
 earlier write ids         0 to 24  with the revision's own, the last four writes
 previous hash, its grace  0 or 16  first 8 bytes of the hash; milliseconds since the epoch,
                                    0: dead
 subject                         n  UTF-8
 payload                         n  a MessagePack map of name to that attribute's bytes,
                                    compressed and encrypted as the flags say
 authenticator                  16  see ``sealing.py``
==========================  ======  ==========================================================
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from sessionstore.core import codec
from sessionstore.core.errors import CodecError, RecordUnreadable, SessionTooLarge
from sessionstore.core.sealing import TAG_BYTES, Sealer

FORMAT: Final = 1
WRITE_ID_BYTES: Final = 8
MAX_SUBJECT_BYTES: Final = 1024
MAX_TIME: Final = 2**42 * 1000
"""From so many milliseconds on (the year 141338), a float of seconds does not hold each of them."""

_HEAD: Final = struct.Struct(">BI8s2sB32sIQQQQQH")
_IDS: Final = tuple(struct.Struct("8s" * count) for count in range(4))
_PREVIOUS: Final = struct.Struct(">8sQ")
_COMPRESSION, _ENCRYPTED, _BROWSER, _HAS_PREVIOUS, _IDS_SHIFT, _RESERVED = 3, 4, 8, 16, 5, 128
_LARGEST: Final = 3
_ONLY_BYTES: Final = frozenset({bytes})


class Previous(NamedTuple):
    """The secret before the current one: the first 8 bytes of its hash.

    :param grace_until: seconds since the epoch until which it is still good; 0: at once dead
    """

    hash: bytes
    grace_until: float


class Record(NamedTuple):
    """What is known of a session beside its attributes. Times are seconds since the epoch.

    :param write_ids: of this write and up to three before it, newest first
    :param attributes: each attribute's name and its encoded value
    """

    counter: int
    write_ids: tuple[bytes, ...]
    secret_hash: bytes
    previous: Previous | None
    epoch: int
    created: float
    authenticated: float | None
    touched: float
    idle: float
    absolute: float
    browser: bool
    subject: str | None
    attributes: dict[str, bytes]

    def __repr__(self) -> str:
        return f"<Record {self.counter}>"  # its attributes are nobody's but the application's

    @property
    def revision(self) -> bytes:
        """12 bytes; no other write has the same."""
        return self.counter.to_bytes(4, "big") + self.write_ids[0]


def encode(record: Record, handle: str, sealer: Sealer) -> bytes:
    """The value to store.

    :raises SessionTooLarge: over the sealer's ``max_size``, before anything is sent
    """
    payload = codec.join(record.attributes)
    subject = b"" if record.subject is None else record.subject.encode()
    size = len(payload) + len(subject)
    if size > sealer.max_size:
        raise SessionTooLarge(size, sealer.max_size, _largest(record.attributes))
    method, data = sealer.compress(payload)
    head = _encode_head(record, subject, method, sealer)
    return sealer.seal(handle, head, record.revision, data)


def _encode_head(record: Record, subject: bytes, method: int, sealer: Sealer) -> bytes:
    write_id, *earlier = record.write_ids
    flags = method | len(earlier) << _IDS_SHIFT
    if sealer.encrypts:
        flags |= _ENCRYPTED
    if record.browser:
        flags |= _BROWSER
    previous = b""
    if record.previous is not None:
        flags |= _HAS_PREVIOUS
        previous = _PREVIOUS.pack(record.previous.hash, _to_ms(record.previous.grace_until))
    head = _HEAD.pack(
        FORMAT,
        record.counter,
        write_id,
        sealer.key_id,
        flags,
        record.secret_hash,
        record.epoch,
        _to_ms(record.created),
        _to_ms(record.authenticated or 0),
        _to_ms(record.touched),
        _to_ms(record.absolute),
        _to_ms(record.idle),
        len(subject),  # a subject is never empty: 0 means there is none
    )
    return b"".join((head, *earlier, previous, subject))


def decode(value: bytes, handle: str, sealer: Sealer) -> Record:
    """Read a stored value; its authenticator is checked before its content is looked at.

    :raises RecordUnreadable: the record must be left alone
    """
    if not value or value[0] != FORMAT:
        raise RecordUnreadable("format")
    if len(value) < _HEAD.size + TAG_BYTES:
        raise RecordUnreadable("malformed")
    fields = _HEAD.unpack_from(value)
    _, counter, write_id, key_id, flags, hashed, epoch, *times, subject_length = fields
    if flags & _RESERVED:
        raise RecordUnreadable("format")
    earlier = _IDS[flags >> _IDS_SHIFT & 3]
    ids_end = _HEAD.size + earlier.size
    previous_end = ids_end + (_PREVIOUS.size if flags & _HAS_PREVIOUS else 0)
    head_end = previous_end + subject_length
    if len(value) < head_end + TAG_BYTES:
        raise RecordUnreadable("malformed")
    encrypted = flags & _ENCRYPTED != 0
    data = sealer.unseal(handle, value[:head_end], value[1:13], value[head_end:], key_id, encrypted)
    try:
        subject = value[previous_end:head_end].decode() if subject_length else None
        attributes = codec.decode(sealer.decompress(flags & _COMPRESSION, data))
    except (CodecError, UnicodeDecodeError) as error:
        raise RecordUnreadable("malformed") from error
    if type(attributes) is not dict or not _ONLY_BYTES.issuperset(map(type, attributes.values())):
        raise RecordUnreadable("malformed")
    if max(times) >= MAX_TIME:
        raise RecordUnreadable("malformed")
    created, authenticated, touched, absolute, idle = times
    return Record(  # by position: by name it takes twice as long
        counter,
        (write_id, *earlier.unpack_from(value, _HEAD.size)),
        hashed,
        _decode_previous(value[ids_end:previous_end]) if flags & _HAS_PREVIOUS else None,
        epoch,
        created / 1000,
        authenticated / 1000 if authenticated else None,
        touched / 1000,
        idle / 1000,
        absolute / 1000,
        flags & _BROWSER != 0,
        subject,
        attributes,
    )


def _decode_previous(data: bytes) -> Previous:
    hash_, grace_until = _PREVIOUS.unpack(data)
    if grace_until >= MAX_TIME:
        raise RecordUnreadable("malformed")
    return Previous(hash_, grace_until / 1000)


def _to_ms(seconds: float) -> int:
    # Rounded, not cut: n / 1000 * 1000 may come out just under n, and each write would lose 1 ms.
    return round(seconds * 1000) if seconds > 0 else 0


def _largest(attributes: dict[str, bytes]) -> tuple[tuple[str, int], ...]:
    sizes = sorted(
        ((len(data), codec.written(name)) for name, data in attributes.items()), reverse=True
    )
    return tuple((name, size) for size, name in sizes[:_LARGEST])
