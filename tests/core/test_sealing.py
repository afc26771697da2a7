"""Compression is bounded, encryption is per session, keys rotate (SECURITY.md, rows 13 to 17)."""

from __future__ import annotations

import contextlib
import random
import sys
import tracemalloc
import zlib
from itertools import count
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sessionstore.core.errors import ConfigurationError, MissingExtra, RecordUnreadable
from sessionstore.core.sealing import PLAIN, TAG_BYTES, ZLIB, ZSTD, Sealer

KEY, OLD_KEY = b"a secret key of 32 bytes, or more", b"the secret key before, of 32 bytes"
CIPHER, OLD_CIPHER = b"an encryption key of 32 bytes...", b"the encryption key before it...."
HANDLE, OTHER = "AAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBB"
NONCE = bytes(12)
HEAD = b"any header, not secret, but authenticated"
LIMIT = 100_000


def plain(*keys: bytes, **settings: Any) -> Sealer:
    return Sealer(keys or (KEY,), max_size=LIMIT, **settings)


def encrypted(*keys: bytes, **settings: Any) -> Sealer:
    return Sealer((KEY,), keys or (CIPHER,), max_size=LIMIT, **settings)


def open_(sealer: Sealer, by: Sealer, sealed: bytes, handle: str = HANDLE) -> bytes:
    """What ``sealer`` reads of what was sealed by ``by``."""
    return sealer.unseal(handle, HEAD, NONCE, sealed[len(HEAD) :], by.key_id, by.encrypts)


def refusal(sealer: Sealer, by: Sealer, sealed: bytes, handle: str = HANDLE) -> str:
    with pytest.raises(RecordUnreadable) as caught:
        open_(sealer, by, sealed, handle)
    return caught.value.reason


both = pytest.mark.parametrize("make", [plain, encrypted])


# -- authentication --


@both
def test_what_was_sealed_opens(make: Any) -> None:
    sealed = make().seal(HANDLE, HEAD, NONCE, b"data")
    assert sealed.startswith(HEAD)
    assert len(sealed) == len(HEAD) + len(b"data") + TAG_BYTES
    assert open_(make(), make(), sealed) == b"data"


@both
def test_every_bit_of_the_sealed_part_counts(make: Any) -> None:
    sealed = make().seal(HANDLE, HEAD, NONCE, b"data")
    for place in range(len(HEAD), len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[place] ^= 1 << bit
            assert refusal(make(), make(), bytes(changed)) == "authenticator"


@both
def test_the_header_is_authenticated(make: Any) -> None:
    sealed = make().seal(HANDLE, HEAD, NONCE, b"data")
    with pytest.raises(RecordUnreadable, match="authenticator"):
        make().unseal(HANDLE, HEAD[:-1], NONCE, sealed[len(HEAD) :], make().key_id, make().encrypts)


@both
def test_another_sessions_record_does_not_open(make: Any) -> None:
    sealed = make().seal(HANDLE, HEAD, NONCE, b"data")
    assert refusal(make(), make(), sealed, OTHER) == "authenticator"


@both
def test_too_short_for_an_authenticator(make: Any) -> None:
    assert refusal(make(), make(), HEAD + b"x") == "authenticator"


def test_the_authenticator_is_secret_keyed() -> None:
    other = plain(b"another secret key of 32 bytes...")
    sealed = other.seal(HANDLE, HEAD, NONCE, b"data")
    # An attacker can write any key id.
    assert refusal(plain(), plain(), sealed) == "authenticator"


# -- encryption --


def test_encrypted_data_cannot_be_read_in_the_store() -> None:
    assert b"data" not in encrypted().seal(HANDLE, HEAD, NONCE, b"data" * 10)
    assert b"data" in plain().seal(HANDLE, HEAD, NONCE, b"data" * 10)


def test_each_session_has_a_key_of_its_own() -> None:
    one = encrypted().seal(HANDLE, HEAD, NONCE, bytes(32))
    two = encrypted().seal(OTHER, HEAD, NONCE, bytes(32))
    # Under one key the same nonce would give the same key stream.
    assert one[len(HEAD) : -TAG_BYTES] != two[len(HEAD) : -TAG_BYTES]


def test_a_plain_record_opens_where_encryption_has_been_switched_on() -> None:
    sealed = plain().seal(HANDLE, HEAD, NONCE, b"data")
    assert open_(encrypted(), plain(), sealed) == b"data"


def test_an_encrypted_record_does_not_open_without_its_key() -> None:
    sealed = encrypted().seal(HANDLE, HEAD, NONCE, b"data")
    assert refusal(plain(), encrypted(), sealed) == "key"


# -- keys --


@pytest.mark.parametrize(
    ("make", "new", "old"), [(plain, KEY, OLD_KEY), (encrypted, CIPHER, OLD_CIPHER)]
)
def test_keys_rotate(make: Any, new: bytes, old: bytes) -> None:
    by_old, by_new, by_both = make(old), make(new), make(new, old)
    sealed = by_old.seal(HANDLE, HEAD, NONCE, b"data")
    assert open_(by_both, by_old, sealed) == b"data"
    assert refusal(by_new, by_old, sealed) == "key"
    assert by_both.key_id == by_new.key_id != by_old.key_id
    assert by_both.seal(HANDLE, HEAD, NONCE, b"x") == by_new.seal(HANDLE, HEAD, NONCE, b"x")


def colliding_keys(make: Any) -> tuple[bytes, bytes]:
    """Two keys with one id: there are only 65,536 ids."""
    seen: dict[bytes, bytes] = {}
    for number in count():
        key = b"%032d" % number
        twin = seen.setdefault(make(key).key_id, key)
        if twin is not key:
            return twin, key
    raise AssertionError


@both
def test_of_two_keys_with_one_id_each_is_tried(make: Any) -> None:
    one, two = colliding_keys(make)
    sealed = make(one).seal(HANDLE, HEAD, NONCE, b"data")
    assert make(one).key_id == make(two).key_id
    assert open_(make(two, one), make(one), sealed) == b"data"
    assert refusal(make(two), make(one), sealed) == "authenticator"


def test_signing_and_encryption_never_share_a_derived_key() -> None:
    assert Sealer((KEY,)).key_id != Sealer((KEY,), (KEY,)).key_id


# -- compression --

METHODS = {"none": PLAIN, "zlib": ZLIB, "zstd": ZSTD, "auto": ZSTD}


@pytest.mark.parametrize(("compression", "method"), METHODS.items())
def test_compression_round_trips_by_each_method(compression: str, method: int) -> None:
    sealer = plain(compression=compression)
    payload = b"much of the same " * 200
    used, packed = sealer.compress(payload)
    assert used == method
    assert sealer.decompress(used, packed) == payload
    assert (len(packed) < len(payload) / 4) is (method != PLAIN)


@given(st.binary(max_size=3000), st.sampled_from(sorted(METHODS)), st.integers(0, 2000))
def test_whatever_is_compressed_comes_back(payload: bytes, compression: str, over: int) -> None:
    sealer = plain(compression=compression, compress_over=over)
    method, packed = sealer.compress(payload)
    assert len(packed) <= len(payload)
    assert sealer.decompress(method, packed) == payload


@pytest.mark.parametrize(("size", "method"), [(1023, PLAIN), (1024, PLAIN), (1025, ZLIB)])
def test_compression_begins_over_the_threshold(size: int, method: int) -> None:
    assert plain(compression="zlib").compress(bytes(size))[0] == method


def test_what_does_not_shrink_stays_as_it_is() -> None:
    noise = random.Random(1).randbytes(2000)
    assert plain(compression="zlib").compress(noise) == (PLAIN, noise)
    assert plain(compression="zlib", compress_over=0).compress(b"x") == (PLAIN, b"x")


def test_each_server_reads_the_others_compression() -> None:
    payload = b"much of the same " * 200
    for compression in ("zlib", "zstd"):
        method, packed = plain(compression=compression).compress(payload)
        assert plain(compression="none").decompress(method, packed) == payload


def test_without_zstandard_auto_is_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    method, packed = plain(compression="zstd").compress(bytes(2000))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    sealer = plain(compression="auto")
    assert sealer.compress(bytes(2000))[0] == ZLIB
    with pytest.raises(RecordUnreadable, match="format"):  # left alone, for those who can
        sealer.decompress(method, packed)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtra, match=r"sessionstore\[zstd\]"):
        plain(compression="zstd")
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"sessionstore\[encryption\]"):
        encrypted()
    plain()  # who encrypts nothing needs neither


def test_an_unknown_method_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="compression='gzip'"):
        plain(compression="gzip")


def zlib_bomb() -> bytes:
    return zlib.compress(bytes(50 * 2**20), 9)


def zstd_bomb() -> bytes:
    return zstandard.ZstdCompressor(level=19).compress(bytes(50 * 2**20))


def zstd_bomb_of_unknown_size() -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(bytes(50 * 2**20)) + compressor.flush()


@pytest.mark.parametrize(
    ("method", "make"),
    [(ZLIB, zlib_bomb), (ZSTD, zstd_bomb), (ZSTD, zstd_bomb_of_unknown_size)],
)
def test_a_decompression_bomb_is_refused_within_the_limit(method: int, make: Any) -> None:
    bomb = make()
    assert len(bomb) < 60_000
    sealer = plain()
    tracemalloc.start()
    try:
        with pytest.raises(RecordUnreadable, match="malformed"):
            sealer.decompress(method, bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * LIMIT


def test_a_frame_that_wants_a_huge_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = compressor.compress(b"little") + compressor.flush()
    with pytest.raises(RecordUnreadable, match="malformed"):
        plain().decompress(ZSTD, frame)


@pytest.mark.parametrize("method", [PLAIN, ZLIB, ZSTD])
def test_the_limit_itself_is_allowed(method: int) -> None:
    pack: Any = {PLAIN: bytes, ZLIB: zlib.compress, ZSTD: zstandard.ZstdCompressor().compress}[
        method
    ]
    assert len(plain().decompress(method, pack(bytes(LIMIT)))) == LIMIT
    with pytest.raises(RecordUnreadable, match="malformed"):
        plain().decompress(method, pack(bytes(LIMIT + 1)))


@given(st.sampled_from([ZLIB, ZSTD]), st.binary(max_size=200))
def test_damaged_compression_is_unreadable_or_bounded(method: int, data: bytes) -> None:
    with contextlib.suppress(RecordUnreadable):
        assert len(plain().decompress(method, data)) <= LIMIT


def test_an_unknown_compression_in_a_record_is_another_format() -> None:
    with pytest.raises(RecordUnreadable, match="format"):
        plain().decompress(3, b"")
