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
from itsdangerous.signer import SigningAlgorithm

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
_FORM: Final = re.compile(
    r"([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{6})\.([A-Za-z0-9_-]{43})"
)
_SIGNED: Final = TOKEN_LENGTH - 44
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


class _HMAC(SigningAlgorithm):
    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


class _OneKeySigner(Signer):
    """A signer for one key, derived once: deriving is most of what verifying costs."""

    def __init__(self, key: bytes) -> None:
        super().__init__(
            key,
            salt=_SALT,
            key_derivation="hmac",
            digest_method=hashlib.sha256,
            algorithm=_HMAC(),
        )
        self._derived = super().derive_key(key)

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        return self._derived

    def signature(self, value: bytes) -> bytes:
        """:meth:`get_signature` without its conversions, which cost more than the HMAC."""
        digest = binascii.b2a_base64(hmac.digest(self._derived, value, "sha256"), newline=False)
        return digest.translate(_TO_URLSAFE, b"=")


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
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        handle, secret_text, timestamp, signature = form.groups()
        stale_key = self._find_key(text[:_SIGNED].encode("ascii"), signature.encode("ascii"))
        if stale_key is None:
            return None
        issued_at = int.from_bytes(_bytes_of(timestamp), "big")
        flags = _ALPHABET.index(secret_text[-1]) & 3
        age = now - issued_at
        if age < -self._clock_skew or (age > self._absolute_timeout and not flags & LONG_LIVED):
            return None
        return Token(handle, _bytes_of(secret_text), flags, issued_at, stale_key, text)

    def _find_key(self, signed: bytes, signature: bytes) -> bool | None:
        """Whether it was a fallback that signed this, or None if no key did.

        The texts of the signatures are compared, so that each has one spelling.
        """
        for index, signer in enumerate(self._signers):
            if hmac.compare_digest(signer.signature(signed), signature):
                return index > 0
        return None

    def newest(self, texts: Iterable[str], now: float) -> tuple[Token | None, bool]:
        """The newest valid token among at most four candidates, and whether there were several.

        What cannot be a token by its length is no candidate: it costs nothing to refuse.
        """
        best: Token | None = None
        ambiguous = False
        candidates = [text for text in dict.fromkeys(texts) if len(text) == TOKEN_LENGTH]
        for text in candidates[:MAX_CANDIDATES]:
            token = self.verify(text, now)
            if token is None:
                continue
            ambiguous = ambiguous or best is not None
            if best is None or token.issued_at > best.issued_at:
                best = token
        return best, ambiguous


def _bytes_of(text: str) -> bytes:
    """Of base64url without padding, whose alphabet and length are known to be right."""
    return binascii.a2b_base64(text.encode("ascii").translate(_FROM_URLSAFE) + b"==")


def handle_text(entropy: bytes) -> str:
    """A handle from 12 random bytes: 16 base64url characters."""
    return base64_encode(entropy).decode()


def secret_hash(secret: bytes) -> bytes:
    """What a record keeps of a secret: 32 bytes, from which no token can be made."""
    return hashlib.sha256(secret).digest()
