"""What the three apps have in common and no framework decides: the cart, the form fields, and
which posts are refused.

Each function takes whatever session its framework has. They all offer the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

TEMPLATES: Final = Path(__file__).parent / "templates"
STATIC: Final = Path(__file__).parent / "static"

COOKIE: Final = "shop_session"
"""Apps that share sessions need the same cookie name and path, key, and store prefix."""

FRAMEWORKS: Final = ("flask", "django", "starlette")
PRODUCTS: Final = ("tea", "bread", "cheese")
MAX_NAME: Final = 40
MAX_LINES: Final = 20
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
REFUSED: Final = "This form was sent from another site, so it was refused.\n"

Cart = dict[str, dict[str, Any]]


class BadForm(Exception):
    """A form field that cannot be taken; the text is for whoever sent it."""


# -- what a request does --


def visit(session: Any) -> None:
    """Count a visit."""
    session["visits"] = session.get("visits", 0) + 1


def add_to_cart(session: Any, item: str, framework: str) -> None:
    """One more of this item.

    :raises BadForm: the cart has too many lines
    """
    cart: Cart = session.setdefault("cart", {})
    if item not in cart and len(cart) >= MAX_LINES:
        raise BadForm(f"The cart has room for {MAX_LINES} different items.")
    line = cart.setdefault(item, {"quantity": 0, "via": set()})
    # Nested changes, in a set too: nothing has to be marked as modified.
    line["quantity"] += 1
    line["via"].add(framework)


def clean(text: str | None, field: str) -> str:
    """The text of a form field.

    :raises BadForm: it is empty, longer than ``MAX_NAME`` or has unprintable characters
    """
    text = (text or "").strip()
    if not text or len(text) > MAX_NAME or not text.isprintable():
        raise BadForm(f"{field}: please write 1 to {MAX_NAME} printable characters.")
    return text


# -- what becomes of two requests that change the same attribute at once --


def merge_visits(base: int | None, theirs: int | None, ours: int | None) -> int:
    """Both counted on from the same number.

    >>> merge_visits(5, 7, 6)
    8
    """
    return (theirs or 0) + (ours or 0) - (base or 0)


def merge_carts(base: Cart | None, theirs: Cart | None, ours: Cart | None) -> Cart:
    """Both added to the same cart.

    >>> merge_carts(None, {"tea": {"quantity": 1, "via": {"flask"}}}, None)
    {'tea': {'quantity': 1, 'via': {'flask'}}}
    """
    base, theirs, ours = base or {}, theirs or {}, ours or {}
    none: dict[str, Any] = {"quantity": 0, "via": set()}
    merged = {}
    for item in theirs | ours:
        before, one, other = (cart.get(item, none) for cart in (base, theirs, ours))
        merged[item] = {
            "quantity": one["quantity"] + other["quantity"] - before["quantity"],
            "via": one["via"] | other["via"],
        }
    return merged


MERGE: Final[dict[str, Callable[[Any, Any, Any], Any]]] = {
    "visits": merge_visits,
    "cart": merge_carts,
}


# -- what a request shows --


def whoami(framework: str, session: Any) -> dict[str, Any]:
    """What this app knows of the visitor, ready for JSON: the handle is public, the token not."""
    cart: Cart = session.get("cart", {})
    return {
        "framework": framework,
        "user": session.subject,
        "visits": session.get("visits", 0),
        "cart": {item: line | {"via": sorted(line["via"])} for item, line in cart.items()},
        "handle": session.handle,
    }


def page(framework: str, session: Any, urls: dict[str, str]) -> dict[str, Any]:
    """What templates/shop.html shows; Jinja and Django can both read that template.

    :param urls: ``home``, ``whoami``, ``login``, ``logout``, ``visit``, ``cart``, ``style``
    """
    known = whoami(framework, session)
    since = session.authenticated or session.created
    in_demo = urls["home"] == f"/{framework}/"
    return known | {
        "title": framework.capitalize(),
        "lines": sorted(known["cart"].items()),
        "since": f"{since:%Y-%m-%d %H:%M} UTC" if since else None,
        "process": os.getpid(),
        "products": PRODUCTS,
        "max_name": MAX_NAME,
        "urls": urls,
        "siblings": [(name, name.capitalize()) for name in FRAMEWORKS] if in_demo else [],
    }


# -- posts from other sites --


def is_cross_site(method: str, header: Callable[[str], str | None]) -> bool:
    """Whether another site's page sent this request, so that it must change nothing.

    Browsers say where a request comes from in headers that no page can set; a client that says
    nothing (curl) carries nobody else's cookies. This takes the place of a CSRF token.

    :param header: gives a request header by its name
    """
    if method in SAFE_METHODS:
        return False
    site, origin = header("Sec-Fetch-Site"), header("Origin")
    if site is not None and site not in ("same-origin", "none"):
        return True
    # Host only: behind a proxy that speaks TLS for us, the scheme we see is not the browser's.
    return origin is not None and origin.partition("://")[2] != header("Host")
