"""Sessions whose cookie ends with the browser, by the server's own setting."""

from __future__ import annotations

from tests.core.support import HOUR, World, token_of


def test_a_server_may_begin_sessions_that_end_with_the_browser() -> None:
    world = World(browser_session=True, idle_timeout=HOUR)

    cookie = world.request(None, lambda session: session.update(a=1))

    assert cookie is not None
    assert cookie.max_age is None
    stored = world.stored(token_of(cookie))
    assert stored.browser
    assert stored.idle == HOUR


def test_it_stays_one_where_another_server_sets_a_max_age() -> None:
    world = World(browser_session=True)
    token = world.begin()
    world.manager = world.server(browser_session=False)

    cookie = world.request(token, lambda session: session.update(b=2))

    assert cookie is not None
    assert cookie.max_age is None


def test_by_default_the_browser_keeps_the_cookie_for_the_idle_timeout() -> None:
    world = World(idle_timeout=HOUR)

    cookie = world.request(None, lambda session: session.update(a=1))

    assert cookie is not None
    assert cookie.max_age == HOUR
