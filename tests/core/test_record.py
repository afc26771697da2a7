"""The stored record: exact, small, and readable only where and as it was written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionstore.core import codec, record
from sessionstore.core.errors import RecordUnreadable, SessionTooLarge
from sessionstore.core.record import Previous, Record
from sessionstore.core.sealing import Sealer
from sessionstore.core.token import secret_hash
from sessionstore.core.verbs import REVISION

KEY, CIPHER = b"a secret key of 32 bytes, or more", b"an encryption key of 32 bytes..."
HANDLE, OTHER = "AAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBB"
NOW = 1_800_000_000.125

FRESH = Record(
    counter=1,
    write_ids=(b"write id",),
    secret_hash=secret_hash(b"secret"),
    previous=None,
    epoch=0,
    created=NOW,
    authenticated=None,
    touched=NOW,
    idle=1_209_600.0,
    absolute=NOW + 2_592_000,
    browser=False,
    subject=None,
    attributes={},
)
FULL = FRESH._replace(
    counter=2**32 - 1,
    write_ids=(b"write  4", b"write  3", b"write  2", b"write  1"),
    previous=Previous(secret_hash(b"before")[:8], NOW + 10),
    epoch=2**32 - 1,
    authenticated=NOW - 60,
    browser=True,
    subject="user \u00e9\U0001f36a",
    attributes={"cart": codec.encode({"apples": [1, 2]}), "name": codec.encode("x" * 2000)},
)


def sealer(*, encrypts: bool = False, **settings: Any) -> Sealer:
    return Sealer((KEY,), (CIPHER,) if encrypts else (), **settings)


plain_and_encrypted = pytest.mark.parametrize("encrypts", [False, True], ids=["plain", "encrypted"])
SEALERS = [sealer(), sealer(encrypts=True)]


def refusal(value: bytes, handle: str = HANDLE, by: Sealer | None = None) -> str:
    with pytest.raises(RecordUnreadable) as caught:
        record.decode(value, handle, by or sealer(encrypts=True))
    return caught.value.reason


# -- what is written is read --

milliseconds = st.integers(1, 2**42).map(lambda ms: ms / 1000)
hashes = st.binary(min_size=8, max_size=8)
records = st.builds(
    Record,
    counter=st.integers(0, 2**32 - 1),
    write_ids=st.lists(hashes, min_size=1, max_size=4).map(tuple),
    secret_hash=st.binary(min_size=32, max_size=32),
    previous=st.none() | st.builds(Previous, hashes, milliseconds),
    epoch=st.integers(0, 2**32 - 1),
    created=milliseconds,
    authenticated=st.none() | milliseconds,
    touched=milliseconds,
    idle=milliseconds,
    absolute=milliseconds,
    browser=st.booleans(),
    subject=st.none() | st.text(min_size=1, max_size=200),
    attributes=st.dictionaries(st.text(max_size=10) | st.integers(), st.binary(max_size=50)),
)


@given(records, st.sampled_from(SEALERS))
def test_what_is_written_is_read(written: Record, by: Sealer) -> None:
    assert record.decode(record.encode(written, HANDLE, by), HANDLE, by) == written


@plain_and_encrypted
@pytest.mark.parametrize("written", [FRESH, FULL], ids=["fresh", "full"])
def test_examples_are_read(written: Record, encrypts: bool) -> None:
    by = sealer(encrypts=encrypts)
    assert record.decode(record.encode(written, HANDLE, by), HANDLE, by) == written


@given(st.floats(0.001, 2**42 - 10**9 - 1), st.floats(0.001, 10**9))
def test_no_time_moves_by_being_written_again_and_again(instant: float, span: float) -> None:
    times: dict[str, Any] = {
        "created": instant,
        "touched": instant,
        "absolute": instant + span,
        "idle": span,
    }
    by = sealer()
    first = record.encode(FRESH._replace(**times), HANDLE, by)
    read = record.decode(first, HANDLE, by)
    for name, value in times.items():
        assert getattr(read, name) == pytest.approx(value, abs=0.001)
    assert record.encode(read, HANDLE, by) == first


def test_the_revision_is_where_every_store_looks_for_it() -> None:
    value = record.encode(FULL, HANDLE, sealer())
    assert value[REVISION] == FULL.revision == b"\xff\xff\xff\xffwrite  4"
    assert value[0] == record.FORMAT


@plain_and_encrypted
def test_a_fresh_record_costs_at_most_160_bytes_beside_its_payload(encrypts: bool) -> None:
    payload = codec.encode({})
    assert len(record.encode(FRESH, HANDLE, sealer(encrypts=encrypts))) - len(payload) <= 160


@plain_and_encrypted
def test_the_secret_is_not_in_the_store(encrypts: bool) -> None:
    value = record.encode(FRESH, HANDLE, sealer(encrypts=encrypts))
    assert b"secret" not in value
    assert secret_hash(b"secret") in value


def test_attributes_are_not_readable_in_the_store_once_encrypted() -> None:
    assert b"apples" in record.encode(FULL, HANDLE, sealer(compression="none"))
    assert b"apples" not in record.encode(FULL, HANDLE, sealer(encrypts=True, compression="none"))


# -- what was not written here, so, and for this session is refused --


@plain_and_encrypted
@pytest.mark.parametrize("written", [FRESH, FULL], ids=["fresh", "full"])
def test_every_single_bit_flip_is_refused(written: Record, encrypts: bool) -> None:
    by = sealer(encrypts=encrypts)
    value = record.encode(written, HANDLE, by)
    reasons = set()
    for place in range(len(value)):
        for bit in range(8):
            changed = bytearray(value)
            changed[place] ^= 1 << bit
            reasons.add(refusal(bytes(changed), by=by))
    assert reasons <= {"format", "key", "authenticator", "malformed"}
    assert "authenticator" in reasons


@plain_and_encrypted
def test_every_truncation_and_any_addition_is_refused(encrypts: bool) -> None:
    by = sealer(encrypts=encrypts)
    value = record.encode(FULL, HANDLE, by)
    for length in range(len(value)):
        refusal(value[:length], by=by)
    assert refusal(value + b"\0", by=by) == "authenticator"


@plain_and_encrypted
def test_another_sessions_record_is_refused(encrypts: bool) -> None:
    by = sealer(encrypts=encrypts)
    assert refusal(record.encode(FULL, OTHER, by), by=by) == "authenticator"


@given(st.binary(max_size=400))
def test_junk_is_refused(value: bytes) -> None:
    refusal(value)


@given(st.binary(max_size=400))
def test_junk_that_begins_like_a_record_is_refused(value: bytes) -> None:
    genuine = record.encode(FRESH, HANDLE, sealer())
    refusal((genuine[:20] + value)[: len(genuine) - 1])


@pytest.mark.parametrize("value", [b"", b"\0", b"\2" * 200, b"\x80\x04\x95", b"\xff" * 200])
def test_another_format_is_told_from_a_forgery(value: bytes) -> None:
    assert refusal(value) == "format"


def test_a_newer_format_is_left_alone_whatever_its_length() -> None:
    value = record.encode(FULL, HANDLE, sealer())
    assert refusal(bytes([record.FORMAT + 1]) + value[1:]) == "format"
    assert refusal(bytes([record.FORMAT + 1])) == "format"


def test_an_unknown_flag_is_another_format() -> None:
    value = bytearray(record.encode(FRESH, HANDLE, sealer()))
    value[15] |= 128
    assert refusal(bytes(value)) == "format"


def test_an_unknown_key_is_told_from_a_forgery() -> None:
    value = record.encode(FRESH, HANDLE, Sealer((b"another server's newer key, 32 B",)))
    assert refusal(value, by=sealer()) == "key"


@pytest.mark.parametrize("length", [1, 50, 109])
def test_shorter_than_any_record_is_malformed(length: int) -> None:
    assert refusal(record.encode(FRESH, HANDLE, sealer())[:length]) == "malformed"


def test_a_subject_that_would_reach_beyond_the_end_is_malformed() -> None:
    value = bytearray(record.encode(FRESH, HANDLE, sealer()))
    value[92:94] = b"\xff\xff"
    assert refusal(bytes(value)) == "malformed"


# -- with a good authenticator, and yet not a record: another version's mistake, not an attack --


def sealed(payload: bytes, subject: bytes = b"", times: bytes = b"") -> bytes:
    by = sealer()
    genuine = record.encode(FRESH, HANDLE, by)
    head = genuine[: 92 - len(times)] + times + len(subject).to_bytes(2, "big") + subject
    return by.seal(HANDLE, head, genuine[REVISION], payload)


@pytest.mark.parametrize(
    ("payload", "subject"),
    [
        (b"", b""),
        (b"\xc1", b""),
        (codec.encode([]), b""),
        (codec.encode("text"), b""),
        (b"\x91" * 10**5, b""),
        (codec.encode({"a": 1}), b""),
        (codec.encode({}), b"\xff\xfe"),
    ],
    ids=[
        *("empty", "junk", "a list", "text", "nested 10^5 deep", "an attribute that is no bytes"),
        "a subject that is not UTF-8",
    ],
)
def test_content_that_makes_no_sense_is_malformed(payload: bytes, subject: bytes) -> None:
    assert record.decode(sealed(codec.encode({})), HANDLE, sealer()) == FRESH
    assert refusal(sealed(payload, subject)) == "malformed"


@pytest.mark.parametrize("place", range(5))
def test_a_time_that_is_none_is_malformed(place: int) -> None:
    """From 2^42 seconds on, a float of seconds is not the same after being written again."""
    names = ("created", "authenticated", "touched", "absolute", "idle")
    times = [1] * len(names)
    times[place] = record.MAX_TIME - 1
    last = sealed(codec.encode({}), times=b"".join(time.to_bytes(8, "big") for time in times))
    found = record.decode(last, HANDLE, sealer())
    assert round(getattr(found, names[place]) * 1000) == record.MAX_TIME - 1
    assert record.encode(found, HANDLE, sealer()) == last
    times[place] += 1
    over = sealed(codec.encode({}), times=b"".join(time.to_bytes(8, "big") for time in times))
    assert refusal(over) == "malformed"


def test_a_grace_that_is_none_is_malformed() -> None:
    by = sealer()
    for until, good in ((record.MAX_TIME - 1, True), (record.MAX_TIME, False)):
        genuine = record.encode(FULL._replace(subject=None, attributes={}), HANDLE, by)
        payload = codec.encode({})
        head = genuine[: -16 - len(payload) - 8] + until.to_bytes(8, "big")
        value = by.seal(HANDLE, head, genuine[REVISION], payload)
        if good:
            assert record.encode(record.decode(value, HANDLE, by), HANDLE, by) == value
        else:
            assert refusal(value, by=by) == "malformed"


def test_duplicate_names_leave_one() -> None:
    payload = b"\x82" + b"\xa1a\xc4\x01\x01" + b"\xa1a\xc4\x01\x02"
    assert record.decode(sealed(payload), HANDLE, sealer()).attributes == {"a": b"\x02"}


# -- size --


@pytest.mark.parametrize("compressible", [True, False])
def test_over_max_size_is_refused_before_compression_naming_the_largest(compressible: bool) -> None:
    filler = b"\0" if compressible else b"\xa5"
    attributes = {"tiny": b"1", "big": filler * 600, "bigger": filler * 700, "small": b"1" * 10}
    with pytest.raises(SessionTooLarge) as caught:
        record.encode(FRESH._replace(attributes=attributes), HANDLE, sealer(max_size=1000))
    error = caught.value
    assert error.limit == 1000
    assert error.size == len(codec.encode(attributes))
    assert error.largest == (("bigger", 700), ("big", 600), ("small", 10))


def test_max_size_itself_is_allowed_and_read_back() -> None:
    by = sealer(max_size=1000)
    overhead = len(codec.encode({"a": b"x" * 900})) - 900
    for size, fits in ((1000 - overhead, True), (1001 - overhead, False)):
        written = FRESH._replace(attributes={"a": b"x" * size})
        if fits:
            assert record.decode(record.encode(written, HANDLE, by), HANDLE, by) == written
        else:
            with pytest.raises(SessionTooLarge):
                record.encode(written, HANDLE, by)


# -- nothing leaks --


def test_a_records_repr_shows_nothing() -> None:
    for secret in ("apples", "write", "user"):
        assert secret not in repr(FULL)
