"""DESIGN.md section 7: what each kind of request costs, by a store that counts."""

from __future__ import annotations

import pytest
from flask import render_template_string

from tests.flask_adapter.support import DAY, World, cookie_of, untouched


@pytest.fixture
def world() -> World:
    return World()


def begin(world: World, **config: object) -> None:
    world.get(lambda session: session.update(a=1))
    assert world.store.verbs == ["create"]


def test_an_anonymous_visitor_costs_nothing(world: World) -> None:
    response = world.get(lambda session: [session.get("a"), "b" in session, len(session)])
    assert world.store.verbs == []
    assert untouched(response)


@pytest.mark.parametrize("junk", ["", "junk", "." * 111, "x" * 4000, "a.b.c.d"])
def test_junk_costs_nothing(world: World, junk: str) -> None:
    world.client.set_cookie("session", junk)
    response = world.get(lambda session: session.get("a"))
    assert response.status_code == 200
    assert world.store.verbs == []


def test_a_session_that_is_not_used_costs_nothing(world: World) -> None:
    begin(world)
    response = world.get()
    assert world.store.verbs == []
    assert untouched(response)
    assert "Vary" not in response.headers


def test_neither_does_a_template_or_a_missing_page(world: World) -> None:
    begin(world)
    world.get(lambda session: render_template_string("{{ request.path }}"))
    assert world.store.verbs == []
    world.client.get("/missing")
    assert world.store.verbs == []


def test_naming_the_session_costs_nothing(world: World) -> None:
    """Flask marks it accessed as soon as the proxy is resolved."""
    begin(world)
    response = world.get(lambda session: session._get_current_object())  # type: ignore[attr-defined]
    assert world.store.verbs == []
    assert response.headers["Vary"] == "Cookie"


def test_a_read_costs_one(world: World) -> None:
    begin(world)
    response = world.get(lambda session: session["a"])
    assert world.store.verbs == ["load"]
    assert untouched(response)


def test_several_reads_cost_one(world: World) -> None:
    begin(world)
    world.get(lambda session: [session["a"], session["a"], dict(session)])
    assert world.store.verbs == ["load"]


def test_a_read_and_a_touch_cost_two(world: World) -> None:
    begin(world)
    world.clock.advance(1.5 * DAY)
    response = world.get(lambda session: session["a"])
    assert world.store.verbs == ["load", "replace"]
    assert untouched(response)
    assert world.stored.touched == world.clock.now
    world.get(lambda session: session["a"])
    assert world.store.verbs == ["load"]


def test_a_write_costs_two(world: World) -> None:
    begin(world)
    world.get(lambda session: session.update(a=2))
    assert world.store.verbs == ["load", "replace"]


def test_a_new_session_costs_one(world: World) -> None:
    response = world.get(lambda session: session.update(a=1))
    assert world.store.verbs == ["create"]
    assert cookie_of(response).value == world.token


def test_a_login_costs_two(world: World) -> None:
    begin(world)
    before = world.token
    world.get(lambda session: session.login("ann"))
    assert world.store.verbs == ["load", "replace"]
    assert world.token != before


def test_a_logout_costs_two(world: World) -> None:
    begin(world)
    world.get(lambda session: session.logout())
    assert world.store.verbs == ["load", "delete"]
    assert world.token is None
    assert world.size == 0


def test_a_logout_without_a_session_costs_nothing(world: World) -> None:
    response = world.get(lambda session: session.logout())
    assert world.store.verbs == []
    assert untouched(response)


class TestPermanent:
    @pytest.fixture(autouse=True)
    def _begin(self, world: World) -> None:
        def permanent(session: object) -> None:
            session.update(a=1)  # type: ignore[attr-defined]
            session.permanent = True  # type: ignore[attr-defined]

        world.get(permanent)
        assert world.store.verbs == ["create"]

    def test_unused_costs_one_under_refresh(self, world: World) -> None:
        response = world.get()
        assert world.store.verbs == ["load"]
        assert cookie_of(response).value == world.token
        assert response.headers["Vary"] == "Cookie"

    def test_unused_costs_none_without_refresh(self, world: World) -> None:
        world.app.config["SESSION_REFRESH_EACH_REQUEST"] = False
        response = world.get()
        assert world.store.verbs == []
        assert untouched(response)

    def test_unused_is_touched_when_due(self, world: World) -> None:
        world.clock.advance(4 * DAY)
        world.get()
        assert world.store.verbs == ["load", "replace"]
        assert world.stored.touched == world.clock.now

    def test_a_write_costs_two(self, world: World) -> None:
        response = world.get(lambda session: session.update(a=2))
        assert world.store.verbs == ["load", "replace"]
        assert cookie_of(response).value == world.token

    def test_saying_permanent_again_in_each_request_is_no_write(self, world: World) -> None:
        response = world.get(lambda session: setattr(session, "permanent", True))
        assert world.store.verbs == ["load"]
        assert cookie_of(response).value == world.token


def test_saying_permanent_of_an_anonymous_visitor_begins_no_session(world: World) -> None:
    response = world.get(lambda session: setattr(session, "permanent", True))
    assert world.store.verbs == []
    assert untouched(response)
