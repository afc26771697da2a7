"""A store error becomes a 503 wherever it strikes; a gone session a 409; the cookie stays."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, request_finished, send_file, stream_with_context
from flask.signals import got_request_exception
from werkzeug.routing import BaseConverter
from werkzeug.test import TestResponse

from sessionstore import (
    ConflictUnresolved,
    OutcomeUnknown,
    SessionGone,
    SessionTooLarge,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    UnstorableValue,
)
from sessionstore.flask import FlaskSession, session
from tests.flask_adapter.support import DOWN, Action, World, cookie_of, deletes_cookie, untouched
from tests.support.scripted_store import raises

ERRORS = [StoreUnavailable, StoreRefused, StoreFull, OutcomeUnknown, ConflictUnresolved]


@pytest.fixture
def world() -> World:
    world = World()
    world.get(lambda session: session.update(a=1))
    return world


def is_503(response: TestResponse) -> bool:
    assert response.status_code == 503, response.status
    assert response.headers["Retry-After"] == "5"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Cookie"
    assert response.mimetype == "text/plain"
    assert response.content_length == len(response.data)
    assert b"refused" not in response.data
    return "not available" in response.text


@pytest.mark.parametrize("testing", [True, False])
@pytest.mark.parametrize("error", ERRORS)
def test_in_a_view(world: World, error: type[StoreError], testing: bool) -> None:
    world.app.testing = testing
    world.store.down(error("refused"))
    response = world.get(lambda session: session["a"])
    assert is_503(response)
    assert untouched(response)
    world.store.up()
    assert world.read("a") == 1


@pytest.mark.parametrize("testing", [True, False])
@pytest.mark.parametrize("error", ERRORS)
def test_in_save_session(world: World, error: type[StoreError], testing: bool) -> None:
    world.app.testing = testing
    world.store.always("replace", raises(error("refused")))
    response = world.get(lambda session: session.update(a=2))
    assert is_503(response)
    assert untouched(response)
    world.store.up()
    assert world.read("a") == 1


def test_when_a_session_begins(world: World) -> None:
    world.store.down(DOWN)
    response = world.get(lambda session: session.update(a=1), client=world.app.test_client())
    assert is_503(response)
    assert untouched(response)


def in_before_request(app: Flask) -> None:
    @app.before_request
    def read() -> None:
        session.get("a")


def in_after_request(app: Flask) -> None:
    @app.after_request
    def read(response: Response) -> Response:
        session.get("a")
        return response


def in_a_context_processor_of_an_error_page(app: Flask) -> None:
    @app.errorhandler(404)
    def missing(error: Exception) -> tuple[str, int]:
        return f"hello {session.get('a')}", 404


def in_a_url_converter(app: Flask) -> None:
    class Mine(BaseConverter):
        def to_python(self, value: str) -> str:
            return f"{value}{session.get('a')}"

    app.url_map.converters["mine"] = Mine
    app.add_url_rule("/<mine:name>", "mine", lambda name: name)


@pytest.mark.parametrize("testing", [True, False])
@pytest.mark.parametrize(
    "place",
    [
        in_before_request,
        in_after_request,
        in_a_context_processor_of_an_error_page,
        in_a_url_converter,
    ],
)
def test_wherever_else_it_strikes(
    world: World, place: Callable[[Flask], None], testing: bool
) -> None:
    app = world.make_app(TESTING=testing)
    place(app)
    client = world.other(app)
    world.store.down(DOWN)
    response = client.get("/somewhere")
    assert is_503(response)
    assert untouched(response)


def test_in_an_async_view(world: World) -> None:
    async def view() -> str:
        return str(session["a"])

    app = world.make_app()
    app.add_url_rule("/async", "async", view)
    client = world.other(app)
    assert client.get("/async").text == "1"
    world.store.down(DOWN)
    assert is_503(client.get("/async"))


def test_after_request_functions_have_run_over_the_answer(world: World) -> None:
    app = world.make_app()

    @app.after_request
    def add_header(response: Response) -> Response:
        response.headers["X-Frame-Options"] = "DENY"
        return response

    client = world.other(app)
    world.store.down(DOWN)
    for action in (lambda session: session["a"], lambda session: session.logout()):
        assert world.get(action, client=client).headers["X-Frame-Options"] == "DENY"


def test_nothing_of_the_old_body_stays(world: World) -> None:
    def action(session: FlaskSession) -> Response:
        session["a"] = 2
        response = Response("<p>done</p>", 302, {"Location": "/paid", "ETag": '"1"'})
        response.headers["Content-Disposition"] = "attachment"
        response.vary.add("Origin")
        response.set_cookie("other", "stays")
        return response

    world.store.always("replace", raises(DOWN))
    response = world.get(action)
    assert response.status_code == 503
    assert not {"Location", "ETag", "Content-Disposition"} & set(response.headers.keys())
    assert response.headers["Vary"] == "Origin, Cookie"
    assert response.headers["Set-Cookie"].startswith("other=stays")


def test_a_stream_that_has_not_begun_is_closed(world: World) -> None:
    closed: list[bool] = []

    class Body:
        def __iter__(self) -> Any:
            yield b"secret"

        def close(self) -> None:
            closed.append(True)

    def action(session: FlaskSession) -> Response:
        session["a"] = 2
        return Response(Body())

    world.store.always("replace", raises(DOWN))
    assert is_503(world.get(action))
    assert closed == [True]


def test_a_stream_with_context_that_has_not_begun_is_closed(world: World) -> None:
    def action(session: FlaskSession) -> Response:
        session["a"] = 2
        return Response(stream_with_context(iter([session["a"]])))

    world.store.always("replace", raises(DOWN))
    assert is_503(world.get(action))


def test_a_file_that_was_to_be_sent_is_not(world: World) -> None:
    def action(session: FlaskSession) -> Response:
        session["a"] = 2
        return send_file(io.BytesIO(b"secret"), "text/html")

    world.store.always("replace", raises(DOWN))
    passed_through: list[bool] = []

    def note(sender: Flask, response: Response) -> None:
        passed_through.append(response.direct_passthrough)

    with request_finished.connected_to(note, world.app):
        assert is_503(world.get(action))
    assert passed_through == [False]


def test_a_failed_touch_fails_no_request(world: World) -> None:
    world.clock.advance(10 * 86400)
    world.store.always("replace", raises(DOWN))
    assert world.get(lambda session: session["a"]).status_code == 200
    assert world.reports == ["touch_failed"]


def test_requests_that_do_not_use_it_do_not_notice(world: World) -> None:
    world.store.down(DOWN)
    assert world.get().status_code == 200
    assert world.get(lambda session: session.get("a"), client=world.app.test_client()).text


def test_a_view_may_catch_it(world: World) -> None:
    def action(session: FlaskSession) -> Response | None:
        try:
            session["a"]
        except StoreError:
            return Response("a page without it")
        return None

    world.store.down(DOWN)
    response = world.get(action)
    assert (response.status_code, response.text) == (200, "a page without it")
    assert untouched(response)
    assert len(world.store.verbs) == 1


# -- a logout that fails --


@pytest.mark.parametrize("verb", ["load", "delete"])
def test_a_failed_logout_is_a_503_and_clears_the_cookie(world: World, verb: str) -> None:
    world.store.always(verb, raises(DOWN))
    response = world.get(lambda session: session.logout())
    assert is_503(response)
    assert deletes_cookie(response)
    assert world.size == 1


def test_so_is_a_failed_clear(world: World) -> None:
    world.store.always("delete", raises(DOWN))
    response = world.get(lambda session: session.clear())
    assert is_503(response)
    assert deletes_cookie(response)


@pytest.mark.parametrize(
    "leave",
    [
        lambda session: session.pop("_user_id"),
        lambda session: (session.clear(), session.update(bye=1)),
    ],
    ids=["Flask-Login", "clear and flash"],
)
def test_so_is_a_failed_end_of_a_login(world: World, leave: Callable[[FlaskSession], Any]) -> None:
    world.get(lambda session: session.update(_user_id="7"))
    world.store.always("replace", raises(DOWN))
    response = world.get(leave)
    assert is_503(response)
    assert deletes_cookie(response)


def test_but_not_a_failed_change_of_user(world: World) -> None:
    world.get(lambda session: session.update(_user_id="7"))
    world.store.always("replace", raises(DOWN))
    assert untouched(world.get(lambda session: session.login("8")))
    assert untouched(world.get(lambda session: session.update(_user_id="8")))


def test_a_failed_clear_of_an_anonymous_visitors_cart_keeps_the_cookie(world: World) -> None:
    world.store.always("replace", raises(DOWN))

    def action(session: FlaskSession) -> None:
        session.clear()
        session["b"] = 1

    response = world.get(action)
    assert is_503(response)
    assert untouched(response)


# -- gone --


def test_a_write_after_a_logout_elsewhere_is_a_409(world: World) -> None:
    late = world.other()

    def action(session: FlaskSession) -> None:
        session["b"] = 1
        world.action = lambda session: session.logout()
        world.client.get("/")

    response = world.get(action, client=late)
    assert response.status_code == 409
    assert "ended or changed" in response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Cookie"
    assert untouched(response)
    assert world.size == 0


def test_a_superseded_token_reads_as_empty_and_may_not_write(world: World) -> None:
    late = world.other()
    world.get(lambda session: session.login("ann"))
    assert world.read("a", client=late) is None
    response = world.get(lambda session: session.update(b=1), client=late)
    assert response.status_code == 409
    assert untouched(response)
    assert untouched(world.get(lambda session: session.logout(), client=late))
    assert world.read("a") == 1


# -- the application's own handlers --


def read_or_log_out(in_view: bool) -> Action:
    """Fails in the view, or in save_session."""
    return (lambda session: session["a"]) if in_view else (lambda session: session.logout())


@pytest.mark.parametrize("kind", [StoreUnavailable, StoreError])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("in_view", [True, False])
def test_its_own_handler_goes_first(
    world: World, kind: type[StoreError], before: bool, in_view: bool
) -> None:
    def own(error: StoreError) -> tuple[str, int, dict[str, str]]:
        return "<h1>Sorry</h1>", 502, {"Retry-After": "60", "Vary": "Accept"}

    if before:
        app = Flask("own")
        app.register_error_handler(kind, own)
        app.config.update(SECRET_KEY=world.app.secret_key, SESSIONSTORE_STORE=world.store)
        from sessionstore.flask import SessionStore

        SessionStore(app, clock=world.clock)
        app.add_url_rule("/", "view", lambda: str(world.action(session)))
    else:
        app = world.make_app()
        app.register_error_handler(kind, own)
    client = world.other(app)
    world.store.down(DOWN)
    response = world.get(read_or_log_out(in_view), client=client)
    assert (response.status_code, response.text) == (502, "<h1>Sorry</h1>")
    assert response.mimetype == "text/html"
    assert response.headers["Retry-After"] == "60"
    assert response.headers["Vary"] == "Accept, Cookie"


def test_a_blueprints_handler_goes_first(world: World) -> None:
    blueprint = Blueprint("shop", "shop")
    blueprint.register_error_handler(SessionGone, lambda error: ("reload, please", 409))
    blueprint.add_url_rule("/shop", "view", lambda: session.update(b=1) or "done")
    app = world.make_app()
    app.register_blueprint(blueprint)
    late = world.other(app)
    world.get(lambda session: session.login("ann"))
    assert late.get("/shop").text == "reload, please"


@pytest.mark.parametrize("in_view", [True, False])
def test_a_handler_that_fails_is_replaced_by_ours(
    world: World, in_view: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def own(error: StoreError) -> str:
        return str(session["a"])  # fails again

    app = world.make_app()
    app.register_error_handler(StoreError, own)
    client = world.other(app)
    world.store.down(DOWN)
    response = world.get(read_or_log_out(in_view), client=client)
    assert is_503(response)
    assert "error handler" in caplog.text


# -- what is the application's own doing --


@pytest.mark.parametrize(
    ("value", "kind"), [(object(), UnstorableValue), ("x" * 300_000, SessionTooLarge)]
)
def test_what_cannot_be_stored_is_the_applications_error(
    world: World, value: object, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(kind):
        world.get(lambda session: session.update(a=value))
    world.app.testing = False
    response = world.get(lambda session: session.update(a=value))
    assert response.status_code == 500
    assert untouched(response)
    assert "while handling an error" not in caplog.text
    assert world.read("a") == 1


def test_what_a_view_changed_before_it_raised_is_stored_as_by_flask(world: World) -> None:
    def action(session: FlaskSession) -> None:
        session["a"] = 2
        raise RuntimeError("the view fails")

    world.app.testing = False
    assert world.get(action).status_code == 500
    assert world.read("a") == 2


# -- once --


def test_a_second_call_after_a_failure_does_nothing(world: World) -> None:
    world.app.testing = False

    def fail(sender: Flask, response: Response) -> None:
        raise RuntimeError("a signal handler fails")

    world.store.always("delete", raises(DOWN))
    with request_finished.connected_to(fail, world.app):
        response = world.get(lambda session: session.logout())
    assert response.status_code == 500
    assert world.store.verbs == ["load", "delete"]
    assert deletes_cookie(response)


def test_a_second_response_gets_the_cookie_that_the_first_had(world: World) -> None:
    """The token before the login is dead: without the new one its user would be logged out."""
    world.app.testing = False

    def fail(sender: Flask, response: Response) -> None:
        raise RuntimeError("a signal handler fails")

    with request_finished.connected_to(fail, world.app):
        response = world.get(lambda session: session.login("ann"))
        assert response.status_code == 500
        assert world.store.verbs == ["load", "replace"]
        assert cookie_of(response).value
        assert deletes_cookie(world.get(lambda session: session.logout()))
    assert world.size == 0


def test_a_second_call_for_the_same_response_adds_nothing(world: World) -> None:
    def action(session: FlaskSession) -> Response:
        session["b"] = 1
        response = Response("done")
        real = session._get_current_object()  # type: ignore[attr-defined]
        world.app.session_interface.save_session(world.app, real, response)
        return response

    response = world.get(action)
    assert world.store.verbs == ["load", "replace"]
    assert cookie_of(response).value == world.token


def test_our_answers_are_no_exceptions_to_the_app(world: World) -> None:
    seen: list[Exception] = []
    world.store.down(DOWN)

    def note(sender: Flask, exception: Exception) -> None:
        seen.append(exception)

    with got_request_exception.connected_to(note, world.app):
        world.get(lambda session: session["a"])
        world.get(lambda session: session.logout())
    assert seen == []


def test_it_is_logged_without_token_or_value(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = world.token or ""
    world.store.down(DOWN)
    world.get(lambda session: session["a"])
    world.get(lambda session: session.logout())
    assert "connection refused" in caplog.text
    assert token.split(".")[1] not in caplog.text


# -- pages without sessions --


class TestAnonymous:
    @pytest.fixture
    def world(self) -> World:
        world = World(SESSIONSTORE_ON_UNAVAILABLE="anonymous")
        world.get(lambda session: session.update(a=1))
        world.store.down(DOWN)
        return world

    def test_a_read_finds_nothing_and_changes_nothing(self, world: World) -> None:
        seen: list[Any] = []
        response = world.get(
            lambda session: seen.extend([session.get("a"), session.available, session.permanent])
        )
        assert seen == [None, False, False]
        assert response.status_code == 200
        assert untouched(response)

    def test_a_write_is_dropped_and_reported(self, world: World) -> None:
        response = world.get(lambda session: session.update(b=1))
        assert response.status_code == 200
        assert untouched(response)
        world.store.up()
        assert (world.read("a"), world.read("b")) == (1, None)

    def test_a_login_or_logout_is_an_error_all_the_same(self, world: World) -> None:
        assert is_503(world.get(lambda session: session.login("ann")))
        response = world.get(lambda session: session.logout())
        assert is_503(response)
        assert deletes_cookie(response)
