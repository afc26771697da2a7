"""The token in all three adapters: where it is sent, with what, and when it is another one."""

from __future__ import annotations

import pytest

from tests.support.sites import COOKIE, Site


def test_the_cookie_is_for_http_alone_and_for_ones_own_site(site: Site) -> None:
    answer = site.request(lambda session: session.update({"a": 1}))
    [header] = answer.set_cookies
    attributes = [part.strip().lower() for part in header.split(";")[1:]]
    assert "httponly" in attributes
    assert "samesite=lax" in attributes
    assert "path=/" in attributes
    assert not any(part.startswith("domain") for part in attributes)


def test_the_token_is_sent_as_that_cookie_and_nowhere_else(site: Site) -> None:
    answer = site.request(lambda session: session.update({"a": 1}))
    [header] = answer.set_cookies
    token = header.partition("=")[2].partition(";")[0]
    assert len(COOKIE) + len(token) <= 4096
    secret = token.split(".")[1]
    elsewhere = [value for name, value in answer.headers if name.lower() != "set-cookie"]
    assert secret not in "".join(elsewhere) + answer.body.decode()


@pytest.mark.parametrize("again", ["ann", "ben"])
def test_authenticating_again_is_a_new_token_and_the_one_before_is_dead(
    site: Site, again: str
) -> None:
    browser = site.browser()
    browser.do(lambda session: session.login("ann"))
    thief = browser.copy()
    browser.do(lambda session: session.login(again))
    assert browser.cookie != thief.cookie
    assert browser.do(lambda session: session.subject) == again
    assert thief.do(lambda session: session.subject) is None
    thief.get(lambda session: session.logout())
    assert browser.do(lambda session: session.subject) == again


def test_two_visitors_never_get_the_same_token(site: Site) -> None:
    tokens = set()
    for _ in range(50):
        browser = site.browser()
        browser.do(lambda session: session.update({"a": 1}))
        assert browser.cookie is not None
        handle, secret, *_ = browser.cookie.split(".")
        tokens |= {handle, secret}
    assert len(tokens) == 100
