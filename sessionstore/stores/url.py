"""``open_store``: from a URL to a store. Client libraries are imported only here, when needed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from sessionstore.core.errors import ConfigurationError, MissingExtra
from sessionstore.stores.base import Store

if TYPE_CHECKING:
    from sessionstore.stores.location import Location

Convert = Callable[[str], Any]


def _seconds(text: str) -> float:
    return float(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) == 0:
        raise ValueError("a whole number, 1 or more")
    return int(text)


def _flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError("0 or 1")
    return text == "1"


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise ValueError("a whole number")
    return int(text)


def _weights(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6})*", text):
        raise ValueError("whole numbers with commas between them")
    return tuple(int(weight) for weight in text.split(","))


_COMMON: Final[Mapping[str, Convert]] = {"timeout": _seconds, "prefix": str}
_TLS: Final[Mapping[str, Convert]] = {"ca": str, "cert": str, "key": str}


def _choice(*words: str) -> Convert:
    def convert(text: str) -> str:
        if text not in words:
            raise ValueError(", ".join(words[:-1]) + " or " + words[-1])
        return text

    return convert


_POOL: Final[Mapping[str, Convert]] = {"max_connections": _count}
_AUTH: Final[Mapping[str, Convert]] = {
    "auth": str,
    "password_env": str,
    "username_env": str,
    "password_file": str,
    "username_file": str,
    "auth_renew": _seconds,
}
_MEMCACHED_OPTIONS: Final[Mapping[str, Convert]] = {
    **_POOL,
    **{name: convert for name, convert in _AUTH.items() if name != "auth_renew"},
    "protocol": str,
    "auth_optional": _flag,
}
_FAILOVER: Final[Mapping[str, Convert]] = {
    "failover": _choice("error", "next"),
    "copies": _count,
    "failover_after": _seconds,
    "keep_out": _seconds,
}
_RING: Final[Mapping[str, Convert]] = {"weights": _weights, **_FAILOVER}
_DISCOVERY: Final[Mapping[str, Convert]] = {"poll": _seconds}
_IAM: Final[Mapping[str, Convert]] = {"cache": str, "region": str, "serverless": _flag}


@dataclass(frozen=True)
class Scheme:
    """One kind of store.

    :param opener: ``module:function``, called with the location and the options
    :param options: what may stand in the URL's query string, with how to read it
    :param code: what may only be passed in code
    :param libraries: the top-level modules it needs, and the extra that brings them
    """

    opener: str
    options: Mapping[str, Convert] = field(default_factory=dict)
    code: frozenset[str] = frozenset()
    libraries: tuple[str, ...] = ()
    extra: str = ""


_REPLICAS: Final[Mapping[str, Convert]] = {
    "read_from": _choice("primary", "replica"),
    "durable": _choice("0", "1", "all"),
}
_SENTINEL: Final[Mapping[str, Convert]] = {
    "sentinel_username": str,
    "sentinel_password": str,
    "sentinel_password_env": str,
    "sentinel_password_file": str,
}
_SENTINEL_TLS: Final[Mapping[str, Convert]] = {f"sentinel_{name}": str for name in _TLS}
_REDIS = "sessionstore.stores.redis:from_location"
_REDIS_LIBRARIES = (("redis", "hiredis"), "redis")
_SQL = "sessionstore.stores.sql:from_location"
_MEMCACHED = "sessionstore.stores.memcached:from_location"


def _redis(options: Mapping[str, Convert], *code: str) -> Scheme:
    """What all kinds of Redis have in common, and what one kind has besides."""
    return Scheme(
        _REDIS,
        {**_POOL, **_AUTH, **options},
        frozenset({"credentials", *code}),
        *_REDIS_LIBRARIES,
    )


def _memcached(options: Mapping[str, Convert], *code: str) -> Scheme:
    """What all kinds of Memcached have in common, and what one kind has besides."""
    return Scheme(
        _MEMCACHED,
        {**_MEMCACHED_OPTIONS, **options},
        frozenset({"credentials", *code}),
        (),
        "memcached",
    )


SCHEMES: Final[Mapping[str, Scheme]] = {
    "memory": Scheme("sessionstore.stores.memory:from_location", {}, frozenset({"clock"})),
    "redis": _redis({**_REPLICAS, "replica": str}),
    "rediss": _redis({**_REPLICAS, "replica": str, **_TLS, **_IAM}, "ssl_context"),
    "redis+unix": _redis({"db": _number, "durable": _REPLICAS["durable"]}),
    "redis+sentinel": _redis({**_REPLICAS, **_SENTINEL}, "sentinel_credentials"),
    "rediss+sentinel": _redis(
        {**_REPLICAS, **_SENTINEL, **_TLS, **_SENTINEL_TLS, **_IAM},
        *("ssl_context", "sentinel_credentials", "sentinel_ssl_context"),
    ),
    "redis+cluster": _redis(_REPLICAS),
    "rediss+cluster": _redis({**_REPLICAS, **_TLS, **_IAM}, "ssl_context"),
    "memcached": _memcached(_RING),
    "memcached+unix": _memcached({}),
    "memcacheds": _memcached({**_RING, **_TLS}, "ssl_context"),
    "memcached+discover": _memcached(_DISCOVERY),
    "memcacheds+discover": _memcached({**_DISCOVERY, **_TLS}, "ssl_context"),
    "sqlite": Scheme(_SQL, {**_POOL, "table": str}, frozenset({"clock"}), ("sqlalchemy",), "sql"),
    **dict.fromkeys(
        ("postgresql", "postgresql+psycopg"),
        Scheme(
            _SQL,
            {**_POOL, **_TLS, "table": str, "sslmode": str, "host": str, "port": _count},
            frozenset(),
            ("sqlalchemy", "psycopg"),
            "sql",
        ),
    ),
}

PLANNED: Final = re.compile(
    r"rediss\+unix|memcacheds?\+\w+|mysql(\+\w+)?|mariadb(\+\w+)?"
    r"|valkeys?(\+\w+)?"
)
"""Schemes that people will try, and that this version does not have."""

_WEAKENING: Final = re.compile(
    r"(ssl_|tls_|verify_?)?(cert_?reqs|check_?host_?name|verify(_mode)?|insecure|no_?verify"
    r"|skip_?verify|validate_?cert\w*|min_?version|ciphers)"
)


def open_store(url: str, **options: Any) -> Store:
    """The store that a URL names. Opens no connection yet.

    :param url: ``redis://user:password@host:6379/0``, ``sqlite:///sessions.db``, ``memory://``...;
        docs/reference/stores.md has them all
    :param options: the URL's query options, which they override; and some that only code may set,
        such as ``ssl_context``
    :raises ConfigurationError: an unknown scheme or option, or a bad value
    :raises MissingExtra: the client library is not installed

    >>> open_store("memory://?prefix=shop").prefix
    'shop'
    """
    from sessionstore.stores.location import parse  # what reads addresses takes its time

    location = parse(url)
    scheme = _scheme(location.scheme)
    known = {**_COMMON, **scheme.options}
    settings: dict[str, Any] = {}
    for name, text in location.query.items():
        settings[name] = _read(location.scheme, known, name, text)
    for name, value in options.items():
        if name not in known and name not in scheme.code:
            raise _unknown(location.scheme, known, name)
        settings[name] = value
    _check_timeout(location.scheme, settings)
    _require(location.scheme, scheme)
    module, _, function = scheme.opener.partition(":")
    opener: Callable[[Location, dict[str, Any]], Store] = getattr(import_module(module), function)
    return opener(location, settings)


def _scheme(name: str) -> Scheme:
    try:
        return SCHEMES[name]
    except KeyError:
        why = "is not supported in this version" if PLANNED.fullmatch(name) else "is not known"
        raise ConfigurationError(
            f"{name}:// {why}; there are {', '.join(f'{known}://' for known in SCHEMES)}"
        ) from None


def _read(scheme: str, known: Mapping[str, Convert], name: str, text: str) -> Any:
    if name not in known:
        raise _unknown(scheme, known, name)
    try:
        return known[name](text)
    except ValueError as error:
        raise ConfigurationError(f"{scheme}: option {name}={text!r}: {error}") from None


def _unknown(scheme: str, known: Mapping[str, Convert], name: str) -> ConfigurationError:
    about_tls = name in _TLS or name in _SENTINEL_TLS
    if about_tls or (name in _IAM and scheme.startswith("redis")):
        kind, plus, rest = scheme.partition("+")
        secure = f"{kind}s{plus}{rest}"
        return ConfigurationError(
            f"{scheme}: option {name!r} needs TLS; write {secure}:// instead"
            if secure in SCHEMES and name in SCHEMES[secure].options
            else f"{scheme}: option {name!r} needs TLS, which {scheme}:// does not use"
        )
    if _WEAKENING.fullmatch(name.lower()):
        return ConfigurationError(
            f"{scheme}: option {name!r} is refused: a URL cannot change how TLS is verified. "
            "Give the right certificate authority with ca=FILE, or pass ssl_context= in code"
        )
    return ConfigurationError(
        f"{scheme}: unknown option {name!r}; there are {', '.join(sorted(known))}"
    )


def _check_timeout(scheme: str, settings: Mapping[str, Any]) -> None:
    timeout = settings.get("timeout", 1)
    if not (isinstance(timeout, int | float) and math.isfinite(timeout) and timeout > 0):
        raise ConfigurationError(f"{scheme}: timeout={timeout!r}: give seconds, more than 0")


def _require(name: str, scheme: Scheme) -> None:
    # Imported here, and not inferred from an ImportError of our own module, so that a broken
    # installation of a library is not reported as a missing extra.
    for library in scheme.libraries:
        try:
            import_module(library)
        except ModuleNotFoundError as error:
            if error.name != library:
                raise
            raise MissingExtra(f"{name}://", scheme.extra) from None
