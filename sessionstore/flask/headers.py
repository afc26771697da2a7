"""The session's cookie, ``Vary`` and ``Cache-Control`` on a response of Flask's."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import NamedTuple

from flask import Response
from werkzeug.http import dump_cookie

from sessionstore.core.cookies import Cookie, vary_with_cookie


def vary(response: Response) -> None:
    """Say that the response depends on the request's cookies."""
    # Not `in`: for a header that is not there Werkzeug makes an exception first.
    values = response.headers.getlist("Vary")
    if not values:
        response.headers.add("Vary", "Cookie")
        return
    value = vary_with_cookie(values)
    if value is not None:
        response.headers["Vary"] = value


class CookieAttributes(NamedTuple):
    """What stands in the session's cookie besides token and lifetime, by Flask's settings."""

    domain: str | None
    path: str
    secure: bool
    httponly: bool
    samesite: str | None
    partitioned: bool


def write_cookie(
    response: Response, name: str, cookie: Cookie, attributes: CookieAttributes
) -> None:
    """Set or delete the session's cookie; no cache may keep such a response."""
    if cookie.value is None:
        response.delete_cookie(name, **attributes._asdict())
    else:
        max_age = cookie.max_age
        expires = None if max_age is None else int(time.time()) + max_age
        # No character of a token is to be quoted.
        written = f"{name}={cookie.value}{_written(attributes, max_age, expires)}"
        response.headers.add("Set-Cookie", written)
    if not response.headers.getlist("Cache-Control"):
        response.headers.add("Cache-Control", "no-store")


@lru_cache(maxsize=64)
def _written(attributes: CookieAttributes, max_age: int | None, expires: int | None) -> str:
    """What Werkzeug writes behind a cookie's value: the same for all within a second.

    :param max_age: seconds, or None
    :param expires: seconds since the epoch, or None
    """
    header = dump_cookie(
        "",
        max_age=max_age,
        expires=expires,
        max_size=0,  # the settings' check sees to it
        **attributes._asdict(),
    )
    return header.removeprefix("=")
