"""SECURITY.md section 2, rows 36 and 37: caches and logs, in all three adapters."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from tests.adapters.conftest import MakeSite
from tests.support.sites import Browser, Site, begun, look

USES: dict[str, Callable[[Any], Any]] = {
    "get": lambda session: session.get("a"),
    "getitem": lambda session: session["a"],
    "contains": lambda session: "a" in session,
    "items": lambda session: list(session.items()),
    "keys": lambda session: list(session.keys()),
    "write": lambda session: session.update({"b": 1}),
    "nested": lambda session: session["box"].append(1),
    "delete": lambda session: session.pop("a"),
    "clear": lambda session: session.clear(),
    "logout": lambda session: session.logout(),
    "login": lambda session: session.login("ann"),
    "rotate": lambda session: session.rotate(),
    "subject": lambda session: session.subject,
    "handle": lambda session: session.handle,
}


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_row36_every_use_varies_by_cookie(site: Site, use: Callable[[Any], Any]) -> None:
    assert begun(site, a=1, box=[]).get(use).varies


@pytest.mark.parametrize("use", ["get", "contains", "items", "write", "login", "subject"])
def test_row36_every_use_of_an_anonymous_session_varies_by_cookie(site: Site, use: str) -> None:
    assert site.request(USES[use]).varies


def test_row36_a_refresh_varies_by_cookie(make_site: MakeSite) -> None:
    """Also where the application did not look: the cookie, or the deadline, has changed."""
    touching = begun(make_site(touch_interval=0.000001, touch_on_read=True), a=1)
    assert touching.get(look).varies
    before, after = "the key before it, of 32 bytes or more", "the key now, of 32 bytes or more"
    browser = begun(make_site(secret=before), a=1)
    browser.site = make_site(secret=after, secret_key_fallbacks=[before])
    answer = browser.get(lambda session: session.update({"a": 1}))
    assert len(answer.set_cookies) == 1
    assert answer.varies


def test_row36_an_answer_that_ignores_the_session_does_not_vary(site: Site) -> None:
    assert not begun(site, a=1).get(lambda session: None).varies
    assert not site.request(lambda session: None).varies


@pytest.mark.parametrize("use", ["write", "login", "logout", "rotate"])
def test_row36_an_answer_with_the_cookie_is_not_to_be_stored(site: Site, use: str) -> None:
    answer = begun(site, a=1).get(USES[use])
    assert len(answer.set_cookies) == 1
    assert "no-store" in (answer.header("Cache-Control") or "")


def test_row37_no_token_secret_or_value_in_any_log_repr_or_traceback(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture, redis_client: Any, prefix: str
) -> None:
    caplog.set_level(logging.DEBUG)
    site = make_site()
    browser = begun(site, a="the-payload-itself")
    texts: list[str] = []
    tokens = [browser.cookie or ""]

    def step(client: Browser, action: Callable[[Any], Any]) -> None:
        answer = client.get(action)
        texts.extend([answer.body.decode(), repr(answer.result)])
        if answer.error is not None:
            texts.extend(traceback.format_exception(answer.error))
        if client.cookie:
            tokens.append(client.cookie)

    stale = browser.copy()
    step(browser, lambda session: session.login("ann"))
    step(browser, lambda session: (repr(session), str(session), f"{session}"))
    step(stale, lambda session: session.update({"b": "the-payload-itself"}))
    step(browser, lambda session: session.update({"bad": ["the-payload-itself", object()]}))
    step(browser, lambda session: session.update({"big": "the-payload-itself" * 30_000}))
    for key in redis_client.scan_iter(match=f"{prefix}:*"):
        redis_client.set(key, b"\x01 not a record", keepttl=True)
    step(browser, lambda session: session.update({"c": "the-payload-itself"}))
    everything = "\n".join([caplog.text, *texts, *(repr(record.args) for record in caplog.records)])
    for token in tokens:
        secret = token.split(".")[1]
        assert secret not in everything
        assert token.rsplit(".", 1)[1] not in everything
    assert "the-payload-itself" not in everything
