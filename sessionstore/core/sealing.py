"""Compression, encryption and authentication of a record.

Plain records end in a keyed BLAKE2b (RFC 7693) over the handle, the header and the payload.
Encrypted ones are AES-256-GCM (NIST SP 800-38D) with the handle and the header as associated
data. The key is derived for each handle, so that the 12-byte revision (a counter and 64 random
bits) is a safe nonce: SP 800-38D's limit of 2^32 messages a key counts for each session alone.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from sessionstore.core.errors import ConfigurationError, MissingExtra, RecordUnreadable

TAG_BYTES: Final = 16
PLAIN, ZLIB, ZSTD = 0, 1, 2
_NAMES: Final = {"none": PLAIN, "zlib": ZLIB, "zstd": ZSTD}


class _Key:
    """A secret's derived keys, and the 2-byte id by which a record names it."""

    __slots__ = ("begun", "derived", "id")

    def __init__(self, secret: bytes, purpose: bytes) -> None:
        self.derived = hmac.digest(secret, b"sessionstore." + purpose, "sha256")
        self.id = hmac.digest(self.derived, b"id", "sha256")[:2]
        # Copied for each record: to begin with a key takes as long as hashing 600 bytes.
        self.begun = hashlib.blake2b(key=self.derived, digest_size=TAG_BYTES)


class Sealer:
    """Turns header and payload into a stored value, and back.

    :param secret_keys: newest first; the first authenticates plain records
    :param encryption_keys: newest first; with any, the first encrypts what is written
    :param encrypt: False: the encryption keys only decrypt
    :param compression: ``"auto"`` (zstd where ``zstandard`` is installed, else zlib), ``"zlib"``,
        ``"zstd"`` or ``"none"``
    :param compress_over: bytes of payload from which on compression is tried
    :param max_size: bytes that a payload may have, before compression and after decompression
    """

    def __init__(
        self,
        secret_keys: Sequence[bytes],
        encryption_keys: Sequence[bytes] = (),
        *,
        encrypt: bool = True,
        compression: str = "auto",
        compress_over: int = 1024,
        max_size: int = 256 * 1024,
    ) -> None:
        self._plain_keys = [_Key(secret, b"record") for secret in secret_keys]
        self._encryption_keys = [_Key(secret, b"encryption") for secret in encryption_keys]
        self.encrypts = bool(encryption_keys) and encrypt
        self.key_id = (self._encryption_keys if self.encrypts else self._plain_keys)[0].id
        self.max_size = max_size
        self._compress_over = compress_over
        self._zstd = _import_zstandard(required=compression == "zstd")
        self._method = _choose_method(compression, self._zstd)
        self._aesgcm = _import_aesgcm() if encryption_keys else None

    def compress(self, payload: bytes) -> tuple[int, bytes]:
        """The method's number and the payload, compressed where that pays."""
        if len(payload) <= self._compress_over or self._method == PLAIN:
            return PLAIN, payload
        if self._method == ZSTD:
            packed = self._zstd.ZstdCompressor(level=1).compress(payload)
        else:
            packed = zlib.compress(payload, 6)
        return (self._method, packed) if len(packed) < len(payload) else (PLAIN, payload)

    def decompress(self, method: int, data: bytes) -> bytes:
        """Undo :meth:`compress`, never making more than ``max_size`` bytes.

        :raises RecordUnreadable: unknown method, damaged data, or more than the limit
        """
        payload = data if method == PLAIN else self._decompressed(method, data)
        if len(payload) > self.max_size:
            raise RecordUnreadable("malformed")
        return payload

    def _decompressed(self, method: int, data: bytes) -> bytes:
        decompress = self._decompressor(method)
        try:
            return decompress(data)
        except Exception as error:
            raise RecordUnreadable("malformed") from error

    def _decompressor(self, method: int) -> Callable[[bytes], bytes]:
        limit = self.max_size + 1
        if method == ZLIB:
            return lambda data: zlib.decompressobj().decompress(data, limit)
        if method == ZSTD and self._zstd is not None:
            # The reader never makes more than it is asked for, whatever the frame announces.
            reader = self._zstd.ZstdDecompressor(max_window_size=2**23).stream_reader
            return lambda data: bytes(reader(data).read(limit))
        raise RecordUnreadable("format")

    def seal(self, handle: str, head: bytes, nonce: bytes, data: bytes) -> bytes:
        """``head`` and ``data`` as one authenticated value, for this handle only."""
        context = handle.encode("ascii") + head
        if self.encrypts:
            cipher = self._cipher(self._encryption_keys[0], handle)
            return head + bytes(cipher.encrypt(nonce, data, context))
        return head + data + _mac(self._plain_keys[0], context + data)

    def unseal(
        self, handle: str, head: bytes, nonce: bytes, body: bytes, key_id: bytes, encrypted: bool
    ) -> bytes:
        """Check the authenticator and give the data back.

        :raises RecordUnreadable: ``"key"`` where no key has this id, else ``"authenticator"``
        """
        context = handle.encode("ascii") + head
        why = "key"
        for key in self._encryption_keys if encrypted else self._plain_keys:
            # Two keys may share an id (1 in 65,536): each that has it is tried.
            if key.id != key_id:
                continue
            data = (
                self._decrypt(key, handle, nonce, body, context)
                if encrypted
                else _verify(key, context, body)
            )
            if data is not None:
                return data
            why = "authenticator"
        raise RecordUnreadable(why)

    def _cipher(self, key: _Key, handle: str) -> Any:
        assert self._aesgcm is not None  # noqa: S101 (encryption keys exist only with it)
        return self._aesgcm(hmac.digest(key.derived, handle.encode("ascii"), "sha256"))

    def _decrypt(
        self, key: _Key, handle: str, nonce: bytes, body: bytes, context: bytes
    ) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            return bytes(self._cipher(key, handle).decrypt(nonce, body, context))
        except InvalidTag:
            return None


def _mac(key: _Key, content: bytes) -> bytes:
    mac = key.begun.copy()
    mac.update(content)
    return mac.digest()


def _verify(key: _Key, context: bytes, body: bytes) -> bytes | None:
    data = body[:-TAG_BYTES]
    return data if hmac.compare_digest(_mac(key, context + data), body[-TAG_BYTES:]) else None


def _choose_method(compression: str, zstd: Any) -> int:
    if compression == "auto":
        return ZLIB if zstd is None else ZSTD
    if compression not in _NAMES:
        raise ConfigurationError(
            f"compression={compression!r}: use 'auto', 'zlib', 'zstd' or 'none'"
        )
    return _NAMES[compression]


def _import_zstandard(*, required: bool) -> Any:
    try:
        import zstandard
    except ImportError:
        if required:
            raise MissingExtra("compression='zstd'", "zstd") from None
        return None
    return zstandard


def _import_aesgcm() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise MissingExtra("encryption_keys", "encryption") from None
    return AESGCM
