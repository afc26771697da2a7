"""The cookie's value: a split token, signed.

::

    <handle>.<secret>.<timestamp>.<signature>          16 + 43 + 6 + 43 and 3 dots = 111 characters

The handle (96 random bits) is public and lives as long as the session. The secret (256 random
bits) changes with each rotation; the store keeps only its SHA-256. 43 base64url characters hold
258 bits: the two beyond the secret are the flags. The timestamp says when the secret was minted.

The form is that of itsdangerous' ``TimestampSigner`` (HMAC-SHA-256, ``key_derivation="hmac"``),
but verified more strictly: one spelling for each signature, ASCII only, and no HMAC for what
cannot be a token by its length and alphabet.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from itsdangerous import Signer
from itsdangerous.encoding import base64_encode

TOKEN_LENGTH: Final = 111
HANDLE_BYTES: Final = 12
SECRET_BYTES: Final = 32
MAX_CANDIDATES: Final = 4
"""How many cookies of one name are verified; a browser sends one, an attacker may plant more."""

PERMANENT: Final = 1
"""Flag: a permanent session (Flask), loaded and refreshed even when nothing reads it."""
LONG_LIVED: Final = 2
"""Flag: the app set a lifetime beyond the absolute timeout, so only the record tells its age."""

_SALT: Final = b"sessionstore.token"
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_FLAGS: Final = {character: value & 3 for value, character in enumerate(_ALPHABET)}
_FORM: Final = re.compile(
    r"([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{6})\.([A-Za-z0-9_-]{43})"
)
_SECRET, _TIMESTAMP, _SIGNATURE = 17, 61, 68  # where they begin
_TO_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")
HANDLE_FORM: Final = re.compile(r"[A-Za-z0-9_-]{16}")


class Token(NamedTuple):
    """A token whose signature is good. Its secret must still be compared with the record's."""

    handle: str
    secret: bytes
    flags: int
    issued_at: int
    stale_key: bool
    text: str

    @property
    def permanent(self) -> bool:
        return bool(self.flags & PERMANENT)

    def __repr__(self) -> str:
        return f"<Token {self.handle}>"


class _OneKeySigner(Signer):
    """A signer for one key, derived once: deriving is most of what verifying costs.

    The HMAC's two hashes are begun once too (RFC 2104, section 4): they are copied in half of the
    time that ``hmac.digest`` takes (1.7 us instead of 3.5 with OpenSSL 3).
    """

    def __init__(self, key: bytes) -> None:
        super().__init__(key, salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256)
        begun = hashlib.sha256()
        padded = self.derive_key().ljust(begun.block_size, b"\0")
        self._inner = hashlib.sha256(padded.translate(hmac.trans_36))
        self._outer = hashlib.sha256(padded.translate(hmac.trans_5C))

    def get_signature(self, value: str | bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(value.encode() if isinstance(value, str) else value)
        outer.update(inner.digest())
        encoded = binascii.b2a_base64(outer.digest(), newline=False)
        return encoded.translate(_TO_URLSAFE, b"=")


class TokenSigner:
    """Mints and verifies tokens.

    :param secret_key: signs
    :param fallbacks: still verify; newest first, like Django's and Flask's ``*_FALLBACKS``
    :param absolute_timeout: seconds after which a token is refused unseen
    :param clock_skew: seconds by which another server's clock may be ahead of ours
    """

    def __init__(
        self,
        secret_key: bytes,
        *fallbacks: bytes,
        absolute_timeout: float,
        clock_skew: float = 5.0,
    ) -> None:
        # One signer a key: itsdangerous' own list of keys is oldest first, and would not say
        # which key it was that signed.
        self._signers = [_OneKeySigner(key) for key in (secret_key, *fallbacks)]
        self._absolute_timeout = absolute_timeout
        self._clock_skew = clock_skew

    def mint(self, handle: str, secret: bytes, flags: int, issued_at: float) -> Token:
        """Sign a token with the newest key."""
        secret_text = base64_encode(secret).decode()
        secret_text = secret_text[:-1] + _ALPHABET[_ALPHABET.index(secret_text[-1]) | flags]
        timestamp = base64_encode(int(issued_at).to_bytes(4, "big")).decode()
        text = self._signers[0].sign(f"{handle}.{secret_text}.{timestamp}").decode()
        return Token(handle, secret, flags, int(issued_at), False, text)

    def sign_again(self, token: Token, flags: int) -> Token:
        """The same secret under the newest key; the time of minting stays, nothing is extended."""
        return self.mint(token.handle, token.secret, flags, token.issued_at)

    def verify(self, text: str, now: float) -> Token | None:
        """Check form, signature and age, in this order; no I/O.

        :return: None for whatever is not a valid token, without saying why
        """
        if len(text) != TOKEN_LENGTH:
            return None
        if _FORM.fullmatch(text) is None:
            return None
        data = text.encode("ascii")
        stale_key = self._find_key(data[: _SIGNATURE - 1], data[_SIGNATURE:])
        if stale_key is None:
            return None
        data = data.translate(_FROM_URLSAFE)
        timestamp = binascii.a2b_base64(data[_TIMESTAMP : _SIGNATURE - 1] + b"==")
        secret = binascii.a2b_base64(data[_SECRET : _TIMESTAMP - 1] + b"=")
        issued_at = int.from_bytes(timestamp, "big")
        flags = _FLAGS[text[_TIMESTAMP - 2]]
        age = now - issued_at
        if age < -self._clock_skew or (age > self._absolute_timeout and not flags & LONG_LIVED):
            return None
        return Token(text[: _SECRET - 1], secret, flags, issued_at, stale_key, text)

    def _find_key(self, signed: bytes, signature: bytes) -> bool | None:
        """Whether it was a fallback that signed this, or None if no key did.

        The texts of the signatures are compared, so that each has one spelling.
        """
        for index, signer in enumerate(self._signers):
            if hmac.compare_digest(signer.get_signature(signed), signature):
                return index > 0
        return None

    def newest(self, texts: Iterable[str], now: float) -> tuple[Token | None, bool]:
        """The newest valid token among at most four candidates, and whether there were several.

        What cannot be a token by its length is no candidate: it costs nothing to refuse.
        """
        candidates = [text for text in texts if len(text) == TOKEN_LENGTH]
        if len(candidates) == 1:
            return self.verify(candidates[0], now), False
        best: Token | None = None
        ambiguous = False
        for text in list(dict.fromkeys(candidates))[:MAX_CANDIDATES]:
            token = self.verify(text, now)
            if token is None:
                continue
            ambiguous = ambiguous or best is not None
            if best is None or token.issued_at > best.issued_at:
                best = token
        return best, ambiguous


def handle_text(entropy: bytes) -> str:
    """A handle from 12 random bytes: 16 base64url characters."""
    return base64_encode(entropy).decode()


def secret_hash(secret: bytes) -> bytes:
    """What a record keeps of a secret: 32 bytes, from which no token can be made."""
    return hashlib.sha256(secret).digest()
