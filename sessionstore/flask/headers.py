"""The session's cookie, ``Vary`` and ``Cache-Control`` on a response of Flask's."""

from __future__ import annotations

import time
from functools import lru_cache

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


def write_cookie(
    response: Response,
    name: str,
    cookie: Cookie,
    *,
    domain: str | None,
    path: str,
    secure: bool,
    httponly: bool,
    samesite: str | None,
    partitioned: bool,
) -> None:
    """Set or delete the session's cookie; no cache may keep such a response."""
    if cookie.value is None:
        response.delete_cookie(
            name,
            domain=domain,
            path=path,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
            partitioned=partitioned,
        )
    else:
        max_age = cookie.max_age
        expires = None if max_age is None else int(time.time()) + max_age
        attributes = _attributes(
            max_age, expires, domain, path, secure, httponly, samesite, partitioned
        )
        # No character of a token is to be quoted.
        response.headers.add("Set-Cookie", f"{name}={cookie.value}{attributes}")
    if not response.headers.getlist("Cache-Control"):
        response.headers.add("Cache-Control", "no-store")


@lru_cache(maxsize=64)
def _attributes(
    max_age: int | None,
    expires: int | None,
    domain: str | None,
    path: str,
    secure: bool,
    httponly: bool,
    samesite: str | None,
    partitioned: bool,
) -> str:
    """What Werkzeug writes behind a cookie's value: the same for all within a second.

    :param max_age: seconds, or None
    :param expires: seconds since the epoch, or None
    """
    header = dump_cookie(
        "",
        max_age=max_age,
        expires=expires,
        domain=domain,
        path=path,
        secure=secure,
        httponly=httponly,
        samesite=samesite,
        partitioned=partitioned,
        max_size=0,  # the settings' check sees to it
    )
    return header.removeprefix("=")
