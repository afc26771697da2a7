"""The session's cookie in a request's headers, and what becomes of a response's headers.

``Set-Cookie`` has the form, the order and the spelling of Starlette's own middleware.
"""

from __future__ import annotations

from typing import Final

from sessionstore.asgi.types import Headers, Message, Scope
from sessionstore.core import cookies
from sessionstore.core.cookies import Cookie
from sessionstore.core.errors import ConfigurationError

_EXPIRED: Final = "expires=Thu, 01 Jan 1970 00:00:00 GMT; "
_SAME_SITE: Final = ("lax", "strict", "none")


class CookieHeaders:
    """Finds and sets one cookie.

    :raises ConfigurationError: a browser would drop a cookie with these attributes
    """

    def __init__(
        self,
        name: str,
        *,
        path: str,
        same_site: str,
        https_only: bool,
        domain: str | None,
        partitioned: bool,
    ) -> None:
        if same_site.lower() not in _SAME_SITE:
            raise ConfigurationError(f"same_site={same_site!r}: use 'lax', 'strict' or 'none'")
        cookies.check_settings(
            name, secure=https_only, path=path, domain=domain, same_site=same_site
        )
        self.name = name
        self._path = path
        self._flags = f"httponly; samesite={same_site}"
        if https_only:
            self._flags += "; secure"
        if domain is not None:
            self._flags += f"; domain={domain}"
        if partitioned:
            self._flags += "; partitioned"

    def find(self, scope: Scope) -> list[str]:
        """Every value that the client sent for this cookie, from all of its Cookie headers."""
        headers = scope.get("headers") or ()
        sent = [value for name, value in headers if len(name) == 6 and name.lower() == b"cookie"]
        return cookies.find_values(b"; ".join(sent).decode("latin-1"), self.name) if sent else []

    def applied(self, message: Message, cookie: Cookie | None, *, varies: bool) -> Message:
        """The message that begins a response, or a copy of it with the session's headers."""
        if cookie is None and not varies:
            return message
        headers: Headers = list(message.get("headers") or ())
        names = {name.lower() for name, _ in headers}
        if varies:
            if b"vary" in names:
                _add_to_vary(headers)
            else:
                headers.append((b"vary", b"Cookie"))
        if cookie is not None:
            headers.append((b"set-cookie", self._set_cookie(cookie).encode("latin-1")))
            if b"cache-control" not in names:
                headers.append((b"cache-control", b"no-store"))
        return {**message, "headers": headers}

    def _set_cookie(self, cookie: Cookie) -> str:
        value, max_age = cookie
        if value is None:
            value, lifetime = "null", _EXPIRED
        else:
            lifetime = "" if max_age is None else f"Max-Age={max_age}; "
        return f"{self.name}={value}; path={self._path}; {lifetime}{self._flags}"


def _add_to_vary(headers: Headers) -> None:
    values = [value.decode("latin-1") for name, value in headers if name.lower() == b"vary"]
    vary = cookies.vary_with_cookie(values)
    if vary is not None:
        headers[:] = [header for header in headers if header[0].lower() != b"vary"]
        headers.append((b"vary", vary.encode("latin-1")))
