"""An assurance level in all three frameworks: no session lasts longer, whatever an app wants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis

from sessionstore.core.state import Lifetime
from tests.adapters.conftest import MakeSite

LEVELS = {"aal1": (30 * 86400, 14 * 86400), "aal2": (86400, 3600), "aal3": (12 * 3600, 900)}


def asks_for_months(session: Any) -> None:
    """By whatever its framework has for it."""
    session["a"] = 1
    if hasattr(session, "set_expiry"):
        session.set_expiry(timedelta(days=90))
    elif hasattr(session, "permanent"):
        session.permanent = True
    else:  # ASGI has nothing of the kind; an extension may do what the adapters do
        session.state.lifetime = Lifetime(90 * 86400)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "action", [lambda session: session.update({"a": 1}), asks_for_months], ids=["plain", "lasting"]
)
def test_no_session_lasts_longer_than_its_level_says(
    level: str,
    action: Callable[[Any], Any],
    make_site: MakeSite,
    keys: Callable[[], dict[bytes, bytes]],
    redis_client: redis.Redis,
) -> None:
    overall, idle = LEVELS[level]
    site = make_site(assurance=level)
    browser = site.browser()
    answer = browser.get(action)
    assert answer.status == 200
    [key] = keys()
    lasts: Any = redis_client.pttl(key)
    # AAL1 has no idle timeout of its own: there whoever asks for months gets the overall one.
    most = overall if level == "aal1" and action is asks_for_months else idle
    assert 1000 * (idle - 60) < lasts <= 1000 * most
    [cookie] = answer.set_cookies
    ages = [part for part in cookie.lower().split("; ") if part.startswith("max-age=")]
    assert all(int(age.partition("=")[2]) <= overall for age in ages)
    assert browser.do(lambda session: session["a"]) == 1
