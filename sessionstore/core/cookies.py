"""What becomes of the ``Cookie`` request header, and of ``Set-Cookie``, ``Vary`` and
``Cache-Control``: decided here once, written by each adapter in its framework's own form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from sessionstore.core.errors import ConfigurationError
from sessionstore.core.token import TOKEN_LENGTH

MAX_COOKIE_BYTES: Final = 4096
"""Name and value together (RFC 6265bis, section 5.6)."""

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110's token


class Cookie(NamedTuple):
    """What to do with the session's cookie.

    :param value: the token to set; None: delete the cookie
    :param max_age: seconds that the browser may keep it; None: until the browser closes
    """

    value: str | None
    max_age: int | None = None

    def __repr__(self) -> str:
        return f"<Cookie {'delete' if self.value is None else 'set'} max_age={self.max_age}>"


def find_values(header: str, name: str) -> list[str]:
    """Every value that a ``Cookie`` header has for this name, in its order.

    Nothing is decoded: a token has no character that a browser would quote, so a value in
    quotes, with escapes, or under a name that differs by case is not one that we have set.

    >>> find_values("a=1; sid=x; sid=y", "sid")
    ['x', 'y']
    """
    if name not in header:
        return []
    values = []
    for pair in header.split(";"):
        if name not in pair:
            continue  # a site's other cookies, of which there are often many
        found, separator, value = pair.partition("=")
        if separator and found.strip(" \t") == name:
            values.append(value.strip(" \t"))
    return values


def check_settings(
    name: str, *, secure: bool, path: str, domain: str | None, same_site: str | None = None
) -> None:
    """Refuse cookie settings with which a browser would drop the cookie.

    :raises ConfigurationError: saying what to change (RFC 6265bis, sections 4.1.3 and 5.6)
    """
    if not _NAME.fullmatch(name) or len(name) + TOKEN_LENGTH > MAX_COOKIE_BYTES:
        raise ConfigurationError(f"cookie name {name!r}: use letters, digits and !#$%&'*+-.^_`|~")
    prefix = name.lower()
    if prefix.startswith(("__host-", "__secure-")) and not secure:
        raise ConfigurationError(f"cookie name {name!r} needs the Secure attribute: switch it on")
    if prefix.startswith("__host-") and (path != "/" or domain):
        raise ConfigurationError(f"cookie name {name!r} needs path '/' and no domain")
    if (same_site or "").lower() == "none" and not secure:
        raise ConfigurationError("SameSite=None needs the Secure attribute: browsers drop it else")


def vary_with_cookie(values: Iterable[str]) -> str | None:
    """The ``Vary`` header with ``Cookie`` in it; None if it is there already (or is ``*``).

    :param values: the values of the response's ``Vary`` headers

    >>> vary_with_cookie(["Accept"]), vary_with_cookie(["accept, COOKIE"])
    ('Accept, Cookie', None)
    """
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    if "*" in names or "cookie" in (name.lower() for name in names):
        return None
    return ", ".join([*names, "Cookie"])
