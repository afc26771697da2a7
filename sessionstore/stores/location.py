"""What a store's URL says, taken apart strictly: a typo must not become localhost.

The standard library's parser is not used, because its errors quote parts of the URL: a password
with a ``/`` in it would end up in a log as "port could not be cast".
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from sessionstore.core.errors import ConfigurationError

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Labels of 1 to 63 bytes (RFC 1035, section 2.3.4): of others, resolving makes a UnicodeError.
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rf"(?=[A-Za-z0-9])(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_ENCODE = "if a user name or password contains any of : / ? # @ % , percent-encode it"


class Options(dict[str, str]):
    """A query string's options, which show no password."""

    def __repr__(self) -> str:
        shown = {name: "***" if "password" in name else self[name] for name in self}
        return repr(shown)


@dataclass(frozen=True, slots=True)
class Location:
    """A URL's parts, decoded.

    :param scheme: lower case, ``redis+unix``
    :param hosts: ``(host, port or None)`` of each server named
    :param path: as written, with its leading slash
    :param query: each option once, as text
    """

    scheme: str
    hosts: tuple[tuple[str, int | None], ...] = ()
    path: str = ""
    query: Options = field(default_factory=Options)
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def single_host(self) -> tuple[str, int | None]:
        """The one server of this URL.

        :raises ConfigurationError: there is none, or more than one
        """
        if not self.hosts:
            raise ConfigurationError(f"{self.scheme}: no host; write {self.scheme}://host/...")
        if len(self.hosts) > 1:
            raise ConfigurationError(f"{self.scheme}: takes one host, not {len(self.hosts)}")
        return self.hosts[0]


def parse(url: str) -> Location:
    """Take a URL apart.

    :raises ConfigurationError: it is malformed; the message never quotes it, since it may hold
        a password

    >>> parse("redis://app:s%2Fcret@db.example:6380/2?timeout=1")
    Location(scheme='redis', hosts=(('db.example', 6380),), path='/2', query={'timeout': '1'}, \
username='app')
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise ConfigurationError("a store's URL begins with scheme://, as in redis://host:6379/0")
    scheme = scheme.lower()
    if re.search(r"[\x00-\x20\x7f]", rest):
        raise ConfigurationError(f"{scheme}: the URL contains a space or a control character")
    if re.search("[\ud800-\udfff]", rest):  # how Python has what is not UTF-8 in the environment
        raise ConfigurationError(f"{scheme}: the URL is not UTF-8")
    if "#" in rest:
        raise ConfigurationError(f"{scheme}: the URL contains a #; {_ENCODE}")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    username, password = _credentials(scheme, credentials) if at else (None, None)
    return Location(
        scheme,
        hosts_in(scheme, hosts) if hosts else (),
        _decode(scheme, slash + path, "path"),
        _query(scheme, query),
        username,
        password,
    )


def _credentials(scheme: str, text: str) -> tuple[str | None, str | None]:
    username, colon, password = text.partition(":")
    return (
        _decode(scheme, username, "user name") or None,
        _decode(scheme, password, "password") if colon else None,
    )


def hosts_in(scheme: str, text: str) -> tuple[tuple[str, int | None], ...]:
    """The servers in a list such as ``h1:6379,h2``.

    :raises ConfigurationError: one is malformed
    """
    return tuple(_host(scheme, part) for part in text.split(","))


def _host(scheme: str, text: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?", text)
    if bracketed:
        host, port = bracketed.groups()
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ConfigurationError(f"{scheme}: not an IPv6 address in [ ]") from None
    else:
        host, colon, port = text.partition(":")
        port = port if colon else None
        if not _HOST.fullmatch(host):
            raise ConfigurationError(f"{scheme}: the host is empty or malformed; {_ENCODE}")
    if port is None:
        return host, None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ConfigurationError(f"{scheme}: the port is not a number from 1 to 65535; {_ENCODE}")
    return host, int(port)


def _query(scheme: str, text: str) -> Options:
    options = Options()
    for part in text.split("&") if text else ():
        name, equals, value = part.partition("=")
        name = _decode(scheme, name, "option name")
        if not name or not equals:
            raise ConfigurationError(f"{scheme}: options are written ?name=value&name=value")
        if name in options:
            raise ConfigurationError(f"{scheme}: option {name!r} is given twice")
        options[name] = _decode(scheme, value, f"option {name!r}")
    return options


def _decode(scheme: str, text: str, what: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise ConfigurationError(f"{scheme}: a % in the {what} is not followed by two hex digits")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{scheme}: the {what} is not UTF-8") from None
