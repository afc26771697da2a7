"""`permanent`, PERMANENT_SESSION_LIFETIME and SESSION_REFRESH_EACH_REQUEST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from sessionstore import SessionConfig, SessionManager
from sessionstore.core.state import Lifetime
from sessionstore.flask import FlaskSession
from tests.flask_adapter.support import (
    DAY,
    DOWN,
    HOUR,
    KEY,
    World,
    cookie_of,
    cookies_of,
    untouched,
)
from tests.support.scripted_store import after


def permanent(session: FlaskSession) -> None:
    session["a"] = 1
    session.permanent = True


def test_a_permanent_session_lasts_as_long_as_flask_says() -> None:
    world = World(PERMANENT_SESSION_LIFETIME=timedelta(hours=3))
    cookie = cookie_of(world.get(permanent))
    assert cookie["max-age"] == str(3 * HOUR)
    expires = parsedate_to_datetime(cookie["expires"])
    assert abs(expires - datetime.now(UTC) - timedelta(hours=3)) < timedelta(seconds=30)
    assert world.stored.idle == 3 * HOUR
    assert not world.stored.browser


def test_another_ends_with_the_browser() -> None:
    world = World()
    cookie = cookie_of(world.get(lambda session: session.update(a=1)))
    assert cookie["max-age"] == cookie["expires"] == ""
    assert world.stored.browser
    assert world.stored.idle == 14 * DAY


def test_a_shorter_lifetime_counts_for_every_session() -> None:
    """Flask refuses every cookie that is older."""
    world = World(PERMANENT_SESSION_LIFETIME=600)
    world.get(lambda session: session.update(a=1))
    assert world.stored.browser
    assert world.stored.idle == 600


def test_the_idle_timeout_of_others_can_be_set() -> None:
    world = World(SESSIONSTORE_IDLE_TIMEOUT=timedelta(hours=1))
    world.get(lambda session: session.update(a=1))
    assert world.stored.idle == HOUR
    world.get(permanent)
    assert world.stored.idle == 31 * DAY


def test_idle_it_ends_and_used_it_does_not() -> None:
    world = World(PERMANENT_SESSION_LIFETIME=10 * HOUR)
    world.get(permanent)
    for _ in range(4):
        world.clock.advance(9 * HOUR)
        assert world.read("a") == 1
    world.clock.advance(10 * HOUR)
    assert world.read("a") is None


def test_unused_but_refreshed_it_does_not_end() -> None:
    world = World(PERMANENT_SESSION_LIFETIME=10 * HOUR)
    world.get(permanent)
    for _ in range(4):
        world.clock.advance(9 * HOUR)
        assert cookie_of(world.get())["max-age"] == str(10 * HOUR)
    assert world.read("a") == 1


def test_without_refresh_it_ends_a_lifetime_after_the_last_write() -> None:
    world = World(PERMANENT_SESSION_LIFETIME=10 * HOUR, SESSION_REFRESH_EACH_REQUEST=False)
    world.get(permanent)
    world.clock.advance(6 * HOUR)
    response = world.get(lambda session: session["a"])
    assert world.store.verbs == ["load"]
    assert untouched(response)
    assert cookies_of(world.get(lambda session: session.update(b=1)))
    world.clock.advance(9 * HOUR)
    assert world.read("a") == 1
    world.clock.advance(1 * HOUR)
    assert world.read("a") is None


def test_without_refresh_saying_so_again_refreshes() -> None:
    world = World(PERMANENT_SESSION_LIFETIME=10 * HOUR, SESSION_REFRESH_EACH_REQUEST=False)
    world.get(permanent)
    world.clock.advance(6 * HOUR)
    response = world.get(lambda session: setattr(session, "permanent", True))
    assert world.store.verbs == ["load", "replace"]
    assert cookie_of(response)["max-age"] == str(10 * HOUR)


def test_it_is_kept_as_flask_keeps_it() -> None:
    world = World()
    world.get(permanent)
    assert world.read("_permanent") is True
    world.get(lambda session: session.update(_permanent=False))
    seen = []
    world.get(lambda session: seen.append(session.permanent))
    assert seen == [False]


def test_becoming_permanent_and_back() -> None:
    world = World()
    world.get(lambda session: session.update(a=1))
    assert world.stored.browser
    assert cookie_of(world.get(permanent))["max-age"] == str(31 * DAY)
    assert (world.stored.browser, world.stored.idle) == (False, 31 * DAY)
    back = world.get(lambda session: setattr(session, "permanent", False))
    assert cookie_of(back)["max-age"] == ""
    assert (world.stored.browser, world.stored.idle) == (True, 14 * DAY)
    assert untouched(world.get())


def test_clear_forgets_it() -> None:
    world = World()
    world.get(permanent)

    def begin_again(session: FlaskSession) -> None:
        session.clear()
        session["b"] = 1

    assert cookie_of(world.get(begin_again))["max-age"] == ""
    assert world.stored.browser


def test_a_session_that_follows_a_destroyed_one_can_be_permanent() -> None:
    world = World()
    world.get(permanent)
    before = world.token

    def begin_again(session: FlaskSession) -> None:
        session.destroy()
        session["b"] = 1
        session.permanent = True

    assert cookie_of(world.get(begin_again))["max-age"] == str(31 * DAY)
    assert before is not None
    assert world.token is not None
    assert world.token[:16] != before[:16]


def test_a_refresh_sends_no_token_that_was_rotated_out() -> None:
    """Its answer could arrive after the rotation's, and take the new cookie away."""
    world = World()
    world.get(permanent)
    late = world.other()
    world.get(lambda session: session.rotate())
    response = world.get(client=late)
    assert world.store.verbs == ["load"]
    assert untouched(response)


def test_a_refresh_after_a_logout_elsewhere_brings_nothing_back() -> None:
    world = World()
    world.get(permanent)
    late = world.other()
    world.get(lambda session: session.logout())
    response = world.get(client=late)
    assert world.store.verbs == ["load"]
    assert untouched(response)
    assert world.size == 0


def test_a_refresh_may_fail() -> None:
    world = World()
    world.get(permanent)
    world.store.down(DOWN)
    response = world.get()
    assert response.status_code == 200
    assert untouched(response)


def test_another_user_does_not_inherit_it() -> None:
    world = World()

    def ann(session: FlaskSession) -> None:
        session.login("ann")
        session.permanent = True

    world.get(ann)
    world.get(lambda session: session.login("bob"))
    assert world.stored.subject == "bob"
    assert world.stored.browser


@pytest.mark.parametrize("subclass_says", [True, False])
def test_should_set_cookie_may_be_overridden(subclass_says: bool) -> None:
    world = World()
    interface = world.app.session_interface
    interface.should_set_cookie = lambda app, session: subclass_says  # type: ignore[method-assign]
    world.get(lambda session: session.update(a=1))
    response = world.get(lambda session: session["a"])
    assert bool(cookies_of(response)) is subclass_says


def test_a_session_of_another_framework_keeps_its_timeouts_until_it_becomes_permanent() -> None:
    world = World()
    other = SessionManager(
        world.store, SessionConfig(secret_key=KEY, idle_timeout=HOUR), clock=world.clock
    )
    begun = other.open(None)
    begun["a"] = 1
    cookie = other.commit(begun)
    assert cookie is not None
    assert cookie.value is not None
    world.client.set_cookie("session", cookie.value)
    assert cookie_of(world.get(lambda session: session.update(b=1)))["max-age"] == str(HOUR)
    assert (world.stored.browser, world.stored.idle) == (False, HOUR)
    assert cookie_of(world.get(permanent))["max-age"] == str(31 * DAY)


def test_a_login_that_lost_its_session_goes_on_in_one_that_is_permanent() -> None:
    world = World()
    world.get(permanent)
    tab = world.other()

    def log_out_elsewhere() -> None:
        world.action = lambda session: session.logout()
        tab.get("/")

    def login(session: FlaskSession) -> None:
        session.permanent = True
        session.login("ann")

    world.store.on("replace", after(log_out_elsewhere))
    world.get(login)
    assert world.stored.subject == "ann"
    assert world.read("_permanent") is True
    world.get(lambda session: session.update(a=1))
    assert (world.stored.browser, world.stored.idle) == (False, 31 * DAY)


def test_saying_so_again_does_not_move_a_deadline_that_was_set() -> None:
    """An identity provider's, for example: ASVS 7.6.1."""
    world = World()
    world.get(permanent)

    def cap(session: FlaskSession) -> None:
        session.state.lifetime = Lifetime(DAY, absolute=world.clock.now + 2 * DAY)
        session["capped"] = True

    world.get(cap)
    deadline = world.stored.absolute
    assert deadline == world.clock.now + 2 * DAY
    world.get(permanent)
    assert (world.stored.idle, world.stored.absolute) == (DAY, deadline)
