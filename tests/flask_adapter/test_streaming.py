"""Responses that are streamed: what is written on the way is committed when they close."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Response, stream_with_context
from werkzeug.test import TestResponse

from sessionstore import HeadersAlreadySent
from sessionstore.flask import FlaskSession, session
from tests.flask_adapter.support import Action, World, cookie_of, untouched
from tests.support.scripted_store import after, raises


@pytest.fixture
def world() -> World:
    return World()


def stream(world: World, *steps: Action, client: Any = None) -> TestResponse:
    """A response that takes these steps on its way, and is then closed."""

    def action(_: FlaskSession) -> Response:
        @stream_with_context
        def generate() -> Iterator[str]:
            for step in steps:
                yield f"{step(session)} "

        return Response(generate())

    with world.get(action, client=client or world.client) as response:
        response.get_data()
    return response


def test_what_it_reads(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    response = stream(world, lambda session: session["a"], lambda session: session["a"])
    assert response.text == "1 1 "
    assert world.store.verbs == ["load"]


def test_what_it_writes_to_a_session_that_exists(world: World) -> None:
    world.get(lambda session: session.update(a=1, box=[]))
    stream(world, lambda session: session.update(b=2), lambda session: session["box"].append(3))
    assert world.store.verbs == ["load", "replace"]
    assert (world.read("b"), world.read("box")) == (2, [3])


def test_what_it_writes_on_top_of_what_the_view_wrote(world: World) -> None:
    def action(session: FlaskSession) -> Response:
        session["a"] = 1

        def generate() -> Iterator[str]:
            session["b"] = 2
            yield "done"

        return Response(stream_with_context(generate()))

    with world.get(action) as response:
        assert cookie_of(response).value == world.token
        assert response.text == "done"
    assert world.store.verbs == ["create", "replace"]
    assert (world.read("a"), world.read("b")) == (1, 2)


def test_a_logout_on_the_way(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    stream(world, lambda session: session.logout())
    assert world.store.verbs == ["load", "delete"]
    assert world.size == 0


def test_a_stream_that_ignores_it_costs_nothing(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    response = stream(world, lambda session: "nothing")
    assert world.store.verbs == []
    assert "Vary" not in response.headers


@pytest.mark.parametrize(
    "action",
    [lambda session: session.rotate(), lambda session: session.login("ann")],
    ids=["rotate", "login"],
)
@pytest.mark.parametrize("existing", [True, False])
def test_a_login_or_rotation_is_refused(world: World, action: Action, existing: bool) -> None:
    if existing:
        world.get(lambda session: session.update(a=1))
    with pytest.raises(HeadersAlreadySent):
        stream(world, action)
    assert world.size == existing


def test_a_session_that_begins_too_late_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    response = stream(world, lambda session: session.update(a=1), lambda session: session["a"])
    assert response.text == "None 1 "
    assert world.store.verbs == []
    assert "dropped" in caplog.text


def test_also_when_the_cookie_turns_out_to_be_worth_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.get(lambda session: session.update(a=1))
    late = world.other()
    world.get(lambda session: session.logout())
    stream(world, lambda session: session.update(a=1), client=late)
    assert world.size == 0
    assert "dropped" in caplog.text


def test_a_read_of_an_anonymous_session_is_not_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stream(
        world,
        lambda session: session.get("a"),
        lambda session: setattr(session, "permanent", True),
    )
    assert caplog.text == ""


def test_writes_to_a_session_that_ended_meanwhile_are_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.get(lambda session: session.update(a=1))
    tab = world.other()

    def log_out_elsewhere() -> None:
        world.action = lambda session: session.logout()
        tab.get("/")

    world.store.on("replace", after(log_out_elsewhere))
    stream(world, lambda session: session.update(b=1))
    assert world.size == 0
    assert "is gone" in caplog.text


def test_a_store_error_at_the_end_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    from sessionstore import StoreUnavailable

    world.get(lambda session: session.update(a=1))
    world.store.always("replace", raises(StoreUnavailable("connection refused")))
    response = stream(world, lambda session: session.update(b=1))
    assert response.status_code == 200
    assert "while streaming were dropped" in caplog.text


def test_the_headers_know_of_what_the_view_did_only(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    response = stream(world, lambda session: session.update(a=2))
    assert untouched(response)


def test_flashed_messages_in_a_streamed_template(world: World) -> None:
    from flask import flash, stream_template_string

    world.get(lambda session: flash("hello"))
    template = "{% for message in get_flashed_messages() %}{{ message }}{% endfor %}!"

    def action(session: FlaskSession) -> Response:
        return Response(stream_template_string(template))

    for expected in ("hello!", "!"):
        with world.get(action) as response:
            assert response.text == expected
