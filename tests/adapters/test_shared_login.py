"""One login for three frameworks (DESIGN.md section 9): the subject is what they share.

Each browser takes its cookie from one framework's site to the next, all on one store.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.conftest import SITES
from tests.support.sites import Browser, Site, look

DJANGO_LOGIN = {"_auth_user_id": "5", "_auth_user_backend": "b", "_auth_user_hash": "h"}
FLASK_LOGIN = {"_user_id": "7", "_fresh": True}
PAIRS = list(itertools.product(SITES, repeat=2))


@pytest.fixture
def sites(store_url: str) -> Iterator[dict[str, Site]]:
    made = {name: make(store_url) for name, make in SITES.items()}
    yield made
    for site in made.values():
        site.close()


def at(site: Site, browser: Browser) -> Browser:
    """The same browser, at another framework's site."""
    browser.site = site
    return browser


def subject(session: Any) -> Any:
    return session.subject


@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_a_login_here_is_known_there_and_a_logout_there_is_a_logout_here(
    sites: dict[str, Site], here: str, there: str
) -> None:
    browser = sites[here].browser()
    browser.do(lambda session: session.update({"cart": {"apples": 1}}))
    browser.do(lambda session: session.login("ann"))
    assert at(sites[there], browser).do(subject) == "ann"
    assert browser.do(look) == {"cart": {"apples": 1}}
    kept = browser.copy()
    browser.do(lambda session: session.logout())
    assert browser.cookie is None
    for site in sites.values():
        assert at(site, kept).do(lambda session: (session.subject, look(session))) == (None, {})


@pytest.mark.parametrize("there", list(SITES))
def test_djangos_own_login_sets_the_subject(sites: dict[str, Site], there: str) -> None:
    browser = sites["django"].browser()
    before = browser.do(lambda session: session.update({"a": 1})) or browser.cookie
    browser.do(lambda session: session.update(DJANGO_LOGIN))
    assert browser.cookie != before
    assert at(sites[there], browser).do(subject) == "5"


@pytest.mark.parametrize("there", list(SITES))
def test_flask_logins_own_login_sets_the_subject(sites: dict[str, Site], there: str) -> None:
    browser = sites["flask"].browser()
    before = browser.do(lambda session: session.update({"a": 1})) or browser.cookie
    browser.do(lambda session: session.update(FLASK_LOGIN))
    assert browser.cookie != before
    assert at(sites[there], browser).do(subject) == "7"


def test_another_frameworks_login_takes_djangos_half_away(sites: dict[str, Site]) -> None:
    browser = sites["django"].browser()
    browser.do(lambda session: session.update(DJANGO_LOGIN))
    at(sites["starlette"], browser).do(lambda session: session.login("eve"))
    assert at(sites["django"], browser).do(lambda s: (s.subject, look(s))) == ("eve", {})


def test_a_logout_that_keeps_the_session_takes_every_frameworks_half_away(
    sites: dict[str, Site],
) -> None:
    browser = sites["django"].browser()
    browser.do(lambda session: session.update({"cart": 1, **DJANGO_LOGIN}))
    at(sites["flask"], browser).do(lambda session: session.update({"_user_id": "5"}))

    def flask_login_logs_out(session: Any) -> None:
        session.pop("_user_id")

    browser.do(flask_login_logs_out)
    assert browser.do(lambda s: (s.subject, look(s))) == (None, {"cart": 1})
    assert at(sites["django"], browser).do(look) == {"cart": 1}


def test_changes_made_at_two_frameworks_at_once_both_survive(sites: dict[str, Site]) -> None:
    one = sites["flask"].browser()
    one.do(lambda session: session.update({"cart": {}}))
    two, three = one.copy(), one.copy()
    at(sites["django"], two)
    at(sites["starlette"], three)

    def flask_view(session: Any) -> None:
        session.get("cart")
        two.do(lambda other: other.update({"from_django": 1}))
        three.do(lambda other: other.update({"from_starlette": 1}))
        session["from_flask"] = 1

    one.do(flask_view)
    assert one.do(look) == {"cart": {}, "from_django": 1, "from_starlette": 1, "from_flask": 1}
