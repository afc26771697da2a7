"""The session's cookie, ``Vary`` and ``Cache-Control`` on a response of Django's."""

from __future__ import annotations

from http.cookies import Morsel
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from sessionstore.answers import Answer
from sessionstore.core.cookies import Cookie, find_values
from sessionstore.django.configuration import cookie_partitioned


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
    name = settings.SESSION_COOKIE_NAME
    if cookie.value is None:
        response.delete_cookie(
            name,
            path=settings.SESSION_COOKIE_PATH,
            domain=settings.SESSION_COOKIE_DOMAIN,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )
        if settings.SESSION_COOKIE_SECURE:
            response.cookies[name]["secure"] = True
    else:
        response.set_cookie(
            name,
            cookie.value,
            max_age=cookie.max_age,
            domain=settings.SESSION_COOKIE_DOMAIN,
            path=settings.SESSION_COOKIE_PATH,
            secure=settings.SESSION_COOKIE_SECURE or False,
            httponly=settings.SESSION_COOKIE_HTTPONLY or False,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )
    if cookie_partitioned():
        _partition(response, name)
    if not response.has_header("Cache-Control"):
        response.headers["Cache-Control"] = "no-store"


def vary(response: HttpResponseBase) -> None:
    """Say that the response depends on the cookie."""
    patch_vary_headers(response, ("Cookie",))


def to_response(answer: Answer) -> HttpResponse:
    """An answer to a failed session operation."""
    response = HttpResponse(answer.text, status=answer.status)
    for name, value in answer.headers:
        response.headers[name] = value
    return response


class _PartitionedMorsel(Morsel[str]):
    """A cookie that knows the attribute Partitioned, as ``http.cookies`` does from Python 3.14."""

    _reserved = {**Morsel._reserved, "partitioned": "Partitioned"}  # type: ignore[attr-defined]  # noqa: RUF012
    _flags = Morsel._flags | {"partitioned"}  # type: ignore[attr-defined]


def _partition(response: HttpResponseBase, name: str) -> None:
    plain: Any = response.cookies[name]
    morsel = _PartitionedMorsel()
    morsel.set(plain.key, plain.value, plain.coded_value)
    morsel.update(plain)
    morsel["partitioned"] = True
    dict.__setitem__(response.cookies, name, morsel)
