"""The cookie: what is minted verifies, and nothing else does (SECURITY.md, rows 1 to 11)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner

from sessionstore.core.token import (
    LONG_LIVED,
    PERMANENT,
    TOKEN_LENGTH,
    Token,
    TokenSigner,
    _OneKeySigner,
    handle_text,
    secret_hash,
)

NOW = 1_800_000_000.75
KEY = b"the newest key, of 32 bytes or more."
OLD, OLDER = b"the key before it, 32 bytes or more.", b"the oldest key, also 32 bytes or more"
ABSOLUTE, SKEW = 3600.0, 5.0
HANDLE, SECRET = handle_text(bytes(range(12))), bytes(range(32))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def make_signer(*keys: bytes, **settings: Any) -> TokenSigner:
    return TokenSigner(*keys or (KEY,), **{"absolute_timeout": ABSOLUTE, **settings})


signer = make_signer()
token = signer.mint(HANDLE, SECRET, 0, NOW)


@pytest.fixture
def hmacs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what is signed from now on: one for each HMAC."""
    sizes: list[int] = []
    sign = _OneKeySigner.get_signature

    def counted(self: _OneKeySigner, message: bytes) -> bytes:
        sizes.append(len(message))
        return sign(self, message)

    monkeypatch.setattr(_OneKeySigner, "get_signature", counted)
    return sizes


# -- what is minted verifies --


@given(
    handle=st.binary(min_size=12, max_size=12),
    secret=st.binary(min_size=32, max_size=32),
    flags=st.sampled_from([0, PERMANENT, LONG_LIVED, PERMANENT | LONG_LIVED]),
    age=st.floats(0, ABSOLUTE - 1),
)
def test_a_minted_token_verifies_to_what_it_was_made_of(
    handle: bytes, secret: bytes, flags: int, age: float
) -> None:
    minted = signer.mint(handle_text(handle), secret, flags, NOW - age)
    assert len(minted.text) == TOKEN_LENGTH
    assert signer.verify(minted.text, NOW) == minted
    assert minted.handle == handle_text(handle)
    assert minted.secret == secret
    assert minted.flags == flags
    assert minted.permanent is bool(flags & PERMANENT)


def test_the_timestamp_is_in_whole_seconds() -> None:
    assert token.issued_at == int(NOW)


def test_a_handle_is_96_bits_and_a_secret_hash_is_sha_256() -> None:
    assert len(handle_text(bytes(12))) == 16
    assert secret_hash(SECRET) == hashlib.sha256(SECRET).digest()


def test_signing_again_changes_nothing_but_the_key_and_the_flags() -> None:
    old = make_signer(OLD).mint(HANDLE, SECRET, PERMANENT, NOW)
    found = make_signer(KEY, OLD).verify(old.text, NOW)
    assert found is not None
    assert found.stale_key
    again = make_signer(KEY, OLD).sign_again(found, found.flags)
    assert again == signer.mint(HANDLE, SECRET, PERMANENT, NOW)
    assert again.issued_at == old.issued_at


# -- it is itsdangerous' form --


class _Frozen(TimestampSigner):
    def get_timestamp(self) -> int:
        return int(NOW)


def plain_itsdangerous(key: bytes) -> TimestampSigner:
    return _Frozen(
        key, salt=b"sessionstore.token", key_derivation="hmac", digest_method=hashlib.sha256
    )


@given(secret=st.binary(min_size=32, max_size=32), flags=st.integers(0, 3))
def test_plain_itsdangerous_reads_and_writes_the_same_text(secret: bytes, flags: int) -> None:
    minted = signer.mint(HANDLE, secret, flags, NOW)
    signed, _, _ = minted.text.rpartition(".")[0].rpartition(".")
    assert plain_itsdangerous(KEY).unsign(minted.text).decode() == signed
    assert plain_itsdangerous(KEY).sign(signed).decode() == minted.text


@pytest.mark.parametrize(
    "make",
    [
        lambda: TimestampSigner(KEY, salt=b"another salt", digest_method=hashlib.sha256),
        lambda: TimestampSigner(KEY, salt=b"sessionstore.token"),  # SHA-1, another derivation
        lambda: plain_itsdangerous(b"another key of 32 bytes, or more"),
    ],
    ids=["another salt", "another digest", "another key"],
)
def test_what_was_signed_otherwise_is_refused(make: Callable[[], TimestampSigner]) -> None:
    signed = token.text.rpartition(".")[0].rpartition(".")[0]
    assert signer.verify(make().sign(signed).decode(), int(NOW) + 1) is None


# -- nothing else verifies --


def test_every_truncation_is_refused() -> None:
    for length in range(TOKEN_LENGTH):
        assert signer.verify(token.text[:length], NOW) is None, length
        assert signer.verify(token.text[-length:] if length else "", NOW) is None, length


def test_every_single_bit_flip_is_refused() -> None:
    for place, character in enumerate(token.text):
        for bit in range(8):
            flipped = chr(ord(character) ^ 1 << bit)
            changed = token.text[:place] + flipped + token.text[place + 1 :]
            assert signer.verify(changed, NOW) is None, (place, bit)


def test_every_other_spelling_of_the_signature_is_refused() -> None:
    last = ALPHABET.index(token.text[-1])
    alike = [ALPHABET[last & ~3 | bits] for bits in range(4)]  # decode to the same bytes
    others = [token.text[:-1] + character for character in alike]
    assert [text for text in others if signer.verify(text, NOW)] == [token.text]


TEXT = token.text
OTHER_FORMS = {
    "padded": TEXT + "=",
    "padding in place of a character": TEXT[:-1] + "=",
    "CRLF after it": TEXT + "\r\n",
    "CRLF in it": TEXT[:-2] + "\r\n",
    "a line end in it": TEXT[:-1] + "\n",
    "a space in it": " " + TEXT[1:],
    "NUL in it": TEXT[:-1] + "\0",
    "wide dots": TEXT.replace(".", "\uff0e"),
    "latin-1": TEXT[:-1] + "\xff",
    "a lone surrogate": TEXT[:-1] + "\ud800",
    "a digit that is not ASCII": TEXT[:-1] + "\u0661",
    "an emoji": TEXT[:-1] + "\U0001f36a",
    "quoted": f'"{TEXT}"',
    "quoted, the right length": f'"{TEXT[1:-1]}"',
    "upper case": TEXT.upper(),
    "the other base64 alphabet": "+/" + TEXT[2:],
    "no dots": TEXT.replace(".", "-"),
    "only dots": "." * TOKEN_LENGTH,
    "many dots": "." * 10**5,
    "20,000 backslashes": "\\" * 20_000,
    "an octal CRLF": '"a\\015\\012b"',
    "empty": "",
}


@pytest.mark.parametrize("text", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_other_forms_are_refused(text: str) -> None:
    assert signer.verify(text, NOW) is None


@given(st.text(max_size=200) | st.text(alphabet=ALPHABET + ".", min_size=111, max_size=111))
def test_arbitrary_text_is_refused(text: str) -> None:
    assert signer.verify(text, NOW) is None


@pytest.mark.parametrize("size", [0, 110, 112, 4097, 64 * 1024, 1024 * 1024])
@pytest.mark.parametrize("character", ["A", ".", "\xff", "\\", "\ud800"])
def test_the_wrong_length_is_refused_before_any_hmac(
    size: int, character: str, hmacs: list[int]
) -> None:
    assert signer.verify(character * size, NOW) is None
    assert signer.verify(token.text + character * (size + 1), NOW) is None
    assert hmacs == []


@pytest.mark.parametrize("character", ["\xff", "\ud800", " ", "=", "\u0661"])
def test_the_wrong_alphabet_is_refused_before_any_hmac(character: str, hmacs: list[int]) -> None:
    for place in range(TOKEN_LENGTH):
        assert signer.verify(token.text[:place] + character + token.text[place + 1 :], NOW) is None
    assert hmacs == []


def test_verifying_costs_one_hmac_a_key(hmacs: list[int]) -> None:
    assert signer.verify(token.text, NOW)
    assert len(hmacs) == 1
    assert make_signer(b"1" * 32, b"2" * 32, b"3" * 32).verify(token.text, NOW) is None
    assert hmacs[-3:] == [TOKEN_LENGTH - 44] * 3


# -- keys --


def test_fallbacks_are_given_newest_first_and_the_first_key_signs() -> None:
    three = make_signer(KEY, OLD, OLDER)
    assert three.mint(HANDLE, SECRET, 0, NOW).text == token.text
    for key, stale in ((KEY, False), (OLD, True), (OLDER, True)):
        found = three.verify(make_signer(key).mint(HANDLE, SECRET, 0, NOW).text, NOW)
        assert found is not None
        assert found.stale_key is stale


def test_the_newest_key_is_tried_first(hmacs: list[int]) -> None:
    three = make_signer(KEY, OLD, OLDER)
    for key, tried in ((KEY, 1), (OLD, 2), (OLDER, 3)):
        text = make_signer(key).mint(HANDLE, SECRET, 0, NOW).text
        hmacs.clear()
        assert three.verify(text, NOW)
        # Deriving happened when the signers were made.
        assert len(hmacs) == tried


def test_a_retired_key_is_refused() -> None:
    assert make_signer(KEY).verify(make_signer(OLD).mint(HANDLE, SECRET, 0, NOW).text, NOW) is None


# -- age --


@pytest.mark.parametrize(
    ("age", "valid"),
    [
        (-SKEW - 2, False),  # another server's clock is ahead, by more than is allowed
        (-SKEW, True),
        (-2, True),
        (0, True),
        (ABSOLUTE - 1, True),
        (ABSOLUTE + 1, False),
    ],
)
def test_a_token_is_good_from_the_skew_to_the_absolute_timeout(age: float, valid: bool) -> None:
    made = signer.mint(HANDLE, SECRET, 0, NOW - age)
    assert (signer.verify(made.text, int(NOW)) is not None) is valid


def test_the_clock_skew_is_configurable() -> None:
    ahead = signer.mint(HANDLE, SECRET, 0, NOW + 60).text
    assert make_signer(clock_skew=60.0).verify(ahead, int(NOW)) is not None
    assert make_signer(clock_skew=0).verify(ahead, NOW) is None


def test_a_long_lived_token_leaves_its_age_to_the_record() -> None:
    for flags, valid in ((LONG_LIVED, True), (LONG_LIVED | PERMANENT, True), (PERMANENT, False)):
        made = signer.mint(HANDLE, SECRET, flags, NOW)
        assert (signer.verify(made.text, NOW + 10 * ABSOLUTE) is not None) is valid


def test_the_flags_cannot_be_changed_without_the_key() -> None:
    place = 16 + 1 + 43 - 1
    current = ALPHABET.index(token.text[place])
    for flags in (PERMANENT, LONG_LIVED, 3):
        changed = token.text[:place] + ALPHABET[current | flags] + token.text[place + 1 :]
        assert signer.verify(changed, NOW) is None


# -- several cookies of one name --


def minted(age: float) -> Token:
    return signer.mint(HANDLE, SECRET, 0, NOW - age)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_valid_one_is_found_beside_junk_in_either_order(reverse: bool) -> None:
    texts = ["junk", token.text, "", "A" * TOKEN_LENGTH]
    assert signer.newest(reversed(texts) if reverse else texts, NOW) == (token, False)


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_valid_ones_the_newest_counts_and_it_is_ambiguous(reverse: bool) -> None:
    texts = [minted(60).text, minted(0).text]
    assert signer.newest(reversed(texts) if reverse else texts, NOW) == (minted(0), True)


def test_the_same_cookie_twice_is_not_ambiguous() -> None:
    assert signer.newest([token.text, token.text], NOW) == (token, False)


def test_no_cookie_is_no_token(hmacs: list[int]) -> None:
    assert signer.newest([], NOW) == (None, False)
    assert hmacs == []


def test_at_most_four_candidates_cost_an_hmac(hmacs: list[int]) -> None:
    forged = [f"{i:A>{TOKEN_LENGTH - 95}}{token.text[16:]}" for i in range(1000)]
    assert signer.newest(forged, NOW) == (None, False)
    assert len(hmacs) == 4


def test_junk_that_costs_no_hmac_does_not_hide_the_valid_one() -> None:
    junk = [f"junk {i}" for i in range(1000)]
    assert signer.newest([*junk, token.text], NOW) == (token, False)


# -- nothing leaks --


def test_a_tokens_repr_shows_its_handle_and_nothing_more() -> None:
    assert repr(token) == f"<Token {HANDLE}>"
    assert token.text not in repr(signer)
