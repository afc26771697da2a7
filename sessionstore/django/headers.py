"""The session's cookie, ``Vary`` and ``Cache-Control`` on a response of Django's."""

from __future__ import annotations

import time
from functools import lru_cache
from http.cookies import Morsel
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import http_date

from sessionstore.answers import Answer
from sessionstore.core.cookies import Cookie, find_values
from sessionstore.django.configuration import cookie_partitioned, setting_values

_ATTRIBUTES: Final = tuple(
    f"SESSION_COOKIE_{name}"
    for name in ("NAME", "DOMAIN", "PATH", "SECURE", "HTTPONLY", "SAMESITE")
)


def sent_values(request: HttpRequest) -> list[str]:
    """What the client sent as the session's cookie, duplicates included."""
    name = settings.SESSION_COOKIE_NAME
    header = request.META.get("HTTP_COOKIE")
    if not header:  # none were sent; but a test may have filled COOKIES by hand
        value = request.COOKIES.get(name)
        return [] if value is None else [value]
    return find_values(header, name)


def write_cookie(response: HttpResponseBase, cookie: Cookie) -> None:
    """Set or delete the session's cookie; no cache may keep such a response."""
    name, domain, path, secure, http_only, same_site = setting_values(_ATTRIBUTES)
    if cookie.value is None:
        response.delete_cookie(name, path=path, domain=domain, samesite=same_site)
        if secure:
            response.cookies[name]["secure"] = True
    else:
        attributes = _attributes(domain, path, secure or False, http_only or False, same_site)
        _set_token(response, name, cookie.value, cookie.max_age, attributes)
    if cookie_partitioned():
        _partition(response, name)
    if not response.has_header("Cache-Control"):
        response.headers["Cache-Control"] = "no-store"


def _set_token(
    response: HttpResponseBase,
    name: str,
    token: str,
    max_age: int | None,
    attributes: dict[str, Any],
) -> None:
    """What ``response.set_cookie()`` does, in a third of the time.

    No character of a token is to be quoted, and only the expiry is not the same each time.
    """
    morsel: Morsel[str] = Morsel()
    morsel.set(name, token, token)
    dict.update(morsel, attributes)
    if max_age is not None:
        morsel["max-age"] = max_age
        morsel["expires"] = _http_date(int(time.time() + max_age))
    dict.__setitem__(response.cookies, name, morsel)


_http_date = lru_cache(maxsize=8)(http_date)  # of whole seconds, which many responses share


@lru_cache(maxsize=64)
def _attributes(
    domain: str | None, path: str, secure: bool, httponly: bool, samesite: Any
) -> dict[str, Any]:
    """The attributes that Django gives to such a cookie.

    :raises ValueError: Django knows no such ``samesite``
    """
    response = HttpResponseBase()
    response.set_cookie(
        "it",
        domain=domain,
        path=path,
        secure=secure,
        httponly=httponly,
        samesite=samesite,
    )
    return dict(response.cookies["it"])


def vary(response: HttpResponseBase) -> None:
    """Say that the response depends on the cookie."""
    if response.has_header("Vary"):
        patch_vary_headers(response, ("Cookie",))
    else:
        response.headers["Vary"] = "Cookie"


def to_response(answer: Answer) -> HttpResponse:
    """An answer to a failed session operation."""
    response = HttpResponse(answer.text, status=answer.status)
    for name, value in answer.headers:
        response.headers[name] = value
    return response


class _PartitionedMorsel(Morsel[str]):
    """A cookie that knows the attribute Partitioned, as ``http.cookies`` does from Python 3.14."""

    # What http.cookies keeps for itself, and changes in no release from 3.11 to 3.13.
    _reserved = {**Morsel._reserved, "partitioned": "Partitioned"}  # type: ignore[attr-defined]  # noqa: RUF012
    _flags = Morsel._flags | {"partitioned"}  # type: ignore[attr-defined]


def _partition(response: HttpResponseBase, name: str) -> None:
    plain: Any = response.cookies[name]
    morsel = _PartitionedMorsel()
    morsel.set(plain.key, plain.value, plain.coded_value)
    morsel.update(plain)
    morsel["partitioned"] = True
    dict.__setitem__(response.cookies, name, morsel)
