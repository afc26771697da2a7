"""A store's URL: a store, or a ``ConfigurationError`` that shows no password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from sessionstore.core.errors import ConfigurationError
from sessionstore.stores.location import Options, parse
from sessionstore.stores.url import SCHEMES, open_store

SECRET: Final = "the-S3cret"
_PLACE: Final = "\x01"
"""Stands for the password, wherever the fuzzer puts it."""

_FILES: Final = {"password_file", "username_file", "sentinel_password_file"}
_FILES_OF_TLS: Final = {"ca", "cert", "key", "sentinel_ca", "sentinel_cert", "sentinel_key"}


def opening(data: bytes) -> None:
    """Text that somebody has put where a URL belongs."""
    pattern = data.decode("utf-8", "surrogateescape")
    url = pattern.replace(_PLACE, SECRET)
    # Before the last @ it is a password, however the rest is mistyped. Options are quoted.
    before, _, options = pattern.partition("?")
    secret = _PLACE in before.rpartition("@")[0].partition("://")[2] and _PLACE not in options
    try:
        location = parse(url)
    except ConfigurationError as error:
        assert not secret or SECRET not in str(error)
        return
    if location.password is not None:
        shown = repr(replace(location, hosts=(), path="", username=None, query=Options()))
        assert SECRET not in shown
    for host, port in location.hosts:
        assert host
        assert port is None or 0 < port < 65536
    if _reads_files(dict(location.query)) or location.query.get("auth") == "iam":
        return
    with suppress(ConfigurationError):
        open_store(url).close()


def _reads_files(query: dict[str, str]) -> bool:
    """What is read then depends on the machine."""
    return bool(query.keys() & (_FILES | _FILES_OF_TLS))


def seeds() -> Iterator[bytes]:
    """The documentation's, with every option; and what people mistype."""
    hosts = {"sqlite": "/", "memory": "", "postgresql": "user:\x01@host:5432/db"}
    for scheme, kind in SCHEMES.items():
        host = hosts.get(scheme.partition("+")[0], "user:\x01@host:1234/0")
        if scheme.endswith("+unix"):
            host = "user:\x01@/a/socket"
        elif scheme.endswith("+sentinel"):
            host = "user:\x01@host1,host2:26379/mymaster/0"
        yield f"{scheme}://{host}".encode()
        for option in ("timeout", "prefix", *kind.options):
            yield f"{scheme}://{host}?{option}=1".encode()
    yield b"redis://user:pa/\x01@host:6379/0"
    yield b"redis://user:pa#\x01@host"
    yield b"redis://[::1]:6379/0?read_from=replica&replica=h2:6380"
    yield b"redis://user:%2f%zz\x01@host"
    yield b"redis://a..b:6379"
    yield b"memcached://" + b"a" * 64
    yield b"memcached://u:\x01@h?protocol=meta&auth_optional=1"
