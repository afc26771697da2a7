"""``SessionConfig``: every setting of the core, frozen, validated once."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from sessionstore.core import assurance
from sessionstore.core.assurance import Level, Limits
from sessionstore.core.errors import ConfigurationError, WeakSecretWarning
from sessionstore.core.merge import MergeFunction, merge_appended

DAY: Final = 86400.0
DEFAULT_IDLE_TIMEOUT: Final = 14 * DAY
"""Seconds; Django's and Starlette's own default."""
DEFAULT_ABSOLUTE_TIMEOUT: Final = 30 * DAY
"""Seconds; the longest that NIST SP 800-63B-4 has for AAL1."""

MIN_SECRET_BYTES: Final = 32
DJANGO_IDENTITY: Final = ("_auth_user_id", "_auth_user_backend", "_auth_user_hash")
FLASK_LOGIN_IDENTITY: Final = ("_user_id", "_fresh", "_id", "_remember", "_remember_seconds")

Secret = str | bytes


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """How sessions are signed, kept and ended. Hashable, so that it can be a cache's key.

    :param secret_key: signs tokens and authenticates records; at least 32 bytes of randomness
        (``sessionstore new-key`` makes one)
    :param secret_key_fallbacks: retired keys that still verify, newest first
    :param encryption_keys: newest first; the first encrypts attributes at rest, all decrypt
    :param encrypt: False: the encryption keys only decrypt, for the deployments before the first
        that encrypts and after the last that does
    :param idle_timeout: seconds without activity after which a session ends; None: 14 days, or
        what the assurance level allows
    :param absolute_timeout: seconds after creation (or login) at which a session ends whatever
        its activity; None: 30 days, or the idle timeout where that is longer, or what the
        assurance level allows
    :param assurance: an authenticator assurance level of NIST SP 800-63B-4 (``"aal1"``,
        ``"aal2"`` or ``"aal3"``), beyond whose timeouts no session lasts that is read with this
        configuration, whoever began it and whatever it asks for; None: no level
    :param browser_session: whether the cookie of a session that begins here ends with the browser
    :param touch_interval: seconds of activity that need not be recorded; None: a tenth of the
        session's own idle timeout
    :param touch_on_read: whether reading counts as activity
    :param rotation_grace: seconds for which a rotated-out secret still reads (not after a login)
    :param clock_skew: seconds by which another app server's clock may be ahead
    :param max_size: bytes of encoded attributes
    :param compress_over: bytes from which on attributes are compressed
    :param compression: ``"auto"``, ``"zlib"``, ``"zstd"`` or ``"none"``
    :param merge: attribute name to a function ``(base, theirs, ours) -> merged``, called when two
        requests changed that attribute at once; an absent attribute is None on either side
    :param subject_key: the attribute by which this framework says who is logged in; the session's
        subject follows it
    :param identity_keys: attributes that go when the subject changes, unless set by this request
    :param keep_empty: whether an empty session is stored (Django) or deleted
    :param on_unavailable: ``"error"``, or ``"anonymous"`` to serve pages without a session
    """

    secret_key: Secret = field(repr=False)
    secret_key_fallbacks: Iterable[Secret] = field(default=(), repr=False)
    encryption_keys: Iterable[Secret] = field(default=(), repr=False)
    encrypt: bool = True
    idle_timeout: float = None  # type: ignore[assignment]  # a number once it is made
    absolute_timeout: float | None = None
    assurance: Level | None = None
    browser_session: bool = False
    touch_interval: float | None = None
    touch_on_read: bool = True
    rotation_grace: float = 10.0
    clock_skew: float = 5.0
    max_size: int = 256 * 1024
    compress_over: int = 1024
    compression: str = "auto"
    merge: Mapping[str, MergeFunction] | Iterable[tuple[str, MergeFunction]] = ()
    subject_key: str | None = None
    identity_keys: Iterable[str] = DJANGO_IDENTITY + FLASK_LOGIN_IDENTITY
    keep_empty: bool = False
    on_unavailable: Literal["error", "anonymous"] = "error"

    @classmethod
    def aal1(cls, **settings: Any) -> SessionConfig:
        """The lowest assurance level's timeouts: 30 days in all; 14 days without activity.

        NIST SP 800-63B-4, section 2.1.3, which wants no idle timeout; here it is at most 30 days.

        :param settings: the constructor's; timeouts may be shorter than the level's
        :raises ConfigurationError: a timeout is longer
        """
        return cls(**settings, assurance="aal1")

    @classmethod
    def aal2(cls, **settings: Any) -> SessionConfig:
        """24 hours in all, 1 hour without activity (NIST SP 800-63B-4, section 2.2.3).

        :param settings: the constructor's; timeouts may be shorter than the level's
        :raises ConfigurationError: a timeout is longer

        >>> config = SessionConfig.aal2(secret_key="k" * 32)
        >>> config.idle_timeout, config.absolute_for(config.idle_timeout)
        (3600.0, 86400.0)
        """
        return cls(**settings, assurance="aal2")

    @classmethod
    def aal3(cls, **settings: Any) -> SessionConfig:
        """12 hours in all, 15 minutes without activity (NIST SP 800-63B-4, section 2.3.3).

        :param settings: the constructor's; timeouts may be shorter than the level's
        :raises ConfigurationError: a timeout is longer
        """
        return cls(**settings, assurance="aal3")

    def __post_init__(self) -> None:
        def assign(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        assign("secret_key", _as_key(self.secret_key, "secret_key"))
        for name in ("secret_key_fallbacks", "encryption_keys"):
            assign(name, _as_keys(getattr(self, name), name))
        if isinstance(self.identity_keys, str):
            raise ConfigurationError("identity_keys: give a list of names, not one name")
        assign("identity_keys", tuple(self.identity_keys))
        merge = self.merge.items() if isinstance(self.merge, Mapping) else self.merge
        assign("merge", tuple(merge))
        if self.idle_timeout is None:
            assign(  # type: ignore[unreachable]  # for what it was before
                "idle_timeout", min(DEFAULT_IDLE_TIMEOUT, self.limits.idle)
            )
        self._check_numbers()
        if self.on_unavailable not in ("error", "anonymous"):
            raise ConfigurationError(
                f"on_unavailable={self.on_unavailable!r}: use 'error' or 'anonymous'"
            )

    def _check_numbers(self) -> None:
        for name in ("absolute_timeout", "touch_interval"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name}={value!r}: give seconds, more than 0, or None")
        for name in ("rotation_grace", "clock_skew", "compress_over"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigurationError(f"{name}={value!r}: must not be negative, or infinite")
        if math.isnan(self.idle_timeout):
            raise ConfigurationError(f"idle_timeout={self.idle_timeout!r}: give seconds")
        if not self.max_size > 0:
            raise ConfigurationError(f"max_size={self.max_size!r}: give bytes, more than 0")
        self.limits.check_idle("idle_timeout", self.idle_timeout)
        self.limits.check_overall("absolute_timeout", self.absolute_timeout)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All signing keys, newest first."""
        return (_as_bytes(self.secret_key), *map(_as_bytes, self.secret_key_fallbacks))

    @property
    def encryption(self) -> tuple[bytes, ...]:
        """All encryption keys, newest first."""
        return tuple(map(_as_bytes, self.encryption_keys))

    def touch_interval_for(self, idle: float) -> float:
        """Seconds of activity that a session with this idle timeout need not record."""
        return idle / 10 if self.touch_interval is None else self.touch_interval

    @property
    def limits(self) -> Limits:
        """The longest that any session may last here."""
        return assurance.limits_of(self.assurance)

    @property
    def merge_functions(self) -> dict[str, Callable[[Any, Any, Any], Any]]:
        """The merge functions in force: the configured ones, and appending for ``_flashes``."""
        return {"_flashes": merge_appended, **dict(self.merge)}

    def absolute_for(self, idle: float) -> float:
        """Seconds that a session with this idle timeout may live in all."""
        if self.absolute_timeout is not None:
            return min(self.absolute_timeout, self.limits.overall)
        return min(max(DEFAULT_ABSOLUTE_TIMEOUT, idle), self.limits.overall)


def _as_bytes(secret: Secret) -> bytes:
    return secret.encode() if isinstance(secret, str) else secret


def _as_keys(secrets: Iterable[Secret], name: str) -> tuple[bytes, ...]:
    if isinstance(secrets, (str, bytes)):
        raise ConfigurationError(f"{name}: give a list of keys, not one key")
    return tuple(_as_key(secret, name) for secret in secrets)


def _as_key(secret: Secret, name: str) -> bytes:
    if not secret or not isinstance(secret, (str, bytes)):
        raise ConfigurationError(
            f"{name} is missing or empty: make one with `sessionstore new-key` and keep it secret"
        )
    key = _as_bytes(secret)
    if len(key) < MIN_SECRET_BYTES:
        _warn_of_weakness(key, name)
    return key


@lru_cache(maxsize=64)  # once for each key: frameworks make the same configuration at each request
def _warn_of_weakness(key: bytes, name: str) -> None:
    warnings.warn(
        f"{name} has {len(key)} bytes; use at least {MIN_SECRET_BYTES} random ones"
        " (`sessionstore new-key`)",
        WeakSecretWarning,
        stacklevel=5,
    )
