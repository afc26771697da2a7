"""What `flask.session` does beside being a mapping: Flask's own promises, and ours."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import flask
import pytest
from flask import Flask, Response, flash, get_flashed_messages
from flask.sessions import SessionInterface, SessionMixin
from markupsafe import Markup

from sessionstore import Session
from sessionstore.flask import FlaskSession, session
from tests.flask_adapter.support import DOWN, World, cookie_of, deletes_cookie, untouched
from tests.support.scripted_store import after


@pytest.fixture
def world() -> World:
    return World()


def collected(world: World, *readers: Any) -> list[Any]:
    found: list[Any] = []
    world.get(lambda session: found.extend(reader(session) for reader in readers))
    return found


def test_it_is_flasks_and_ours(world: World) -> None:
    real = "_get_current_object"
    [it] = collected(world, lambda session: getattr(session, real)())
    for kind in (dict, Mapping, MutableMapping, SessionMixin, Session, FlaskSession):
        assert isinstance(it, kind)
    assert isinstance(world.app.session_interface, SessionInterface)
    assert session is flask.session  # type: ignore[comparison-overlap]


def test_a_value_comes_back(world: World) -> None:
    world.get(lambda session: session.update(a=1, box={"n": [1]}))
    assert collected(world, dict, lambda s: json.dumps(s._get_current_object()), len, bool) == [
        {"a": 1, "box": {"n": [1]}},
        '{"a": 1, "box": {"n": [1]}}',
        2,
        True,
    ]


def test_a_nested_change_is_found_without_saying_modified(world: World) -> None:
    world.get(lambda session: session.update(box={"n": [1]}))
    world.get(lambda session: session["box"]["n"].append(2))
    assert world.read("box") == {"n": [1, 2]}


def test_accessed_modified_and_new(world: World) -> None:
    def state(session: FlaskSession) -> tuple[bool, bool, bool]:
        return session.accessed, session.modified, session.new

    assert collected(world, state) == [(True, False, True)]
    assert collected(world, lambda s: s.get("a") or state(s)) == [(True, False, True)]
    assert collected(world, lambda s: s.update(a=1) or state(s)) == [(True, True, True)]
    assert collected(world, lambda s: s.get("a") and state(s)) == [(True, False, False)]
    assert collected(world, lambda s: s.update(a=1) or state(s)) == [(True, True, False)]
    assert collected(world, lambda s: s.clear() or state(s)[1]) == [True]


def test_not_accessed_before_anybody_asked(world: World) -> None:
    with world.app.test_request_context():
        it = flask.globals.request_ctx._session
        assert it is not None
        assert not it.accessed
        assert flask.session == {}
        assert it.accessed


def test_modified_can_be_set(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    response = world.get(lambda session: setattr(session, "modified", True))
    assert world.store.verbs == ["load", "replace"]
    assert cookie_of(response).value == world.token

    def change(session: FlaskSession) -> None:
        session["a"] = 2
        session.modified = False

    assert untouched(world.get(change))
    assert world.read("a") == 1


def test_emptied_it_is_deleted_with_its_cookie(world: World) -> None:
    for empty in (
        lambda session: session.clear(),
        lambda session: session.pop("a"),
        lambda session: session.popitem(),
    ):
        world.get(lambda session: session.update(a=1))
        assert deletes_cookie(world.get(empty))
        assert world.size == 0


def test_what_it_offers(world: World) -> None:
    world.get(lambda session: session.login(7))
    now = datetime.fromtimestamp(world.clock.now, UTC)
    assert world.token is not None
    assert collected(
        world,
        lambda session: session.handle,
        lambda session: session.subject,
        lambda session: session.created,
        lambda session: session.authenticated,
        lambda session: session.is_new,
        lambda session: session.available,
    ) == [world.token[:16], "7", now, now, False, True]


def test_login_rotate_logout_destroy(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    tokens = {world.token}
    for action in (lambda session: session.login(7), lambda session: session.rotate()):
        world.get(action)
        tokens.add(world.token)
    assert len(tokens) == 3
    assert deletes_cookie(world.get(lambda session: session.destroy()))
    world.get(lambda session: session.login(7))
    assert deletes_cookie(world.get(lambda session: session.logout()))


def test_two_requests_at_once_lose_nothing(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    tab = world.other()

    def meanwhile() -> None:
        world.action = lambda session: session.update(theirs=1)
        tab.get("/")

    world.store.on("replace", after(meanwhile))
    world.get(lambda session: session.update(ours=1))
    assert (world.read("ours"), world.read("theirs")) == (1, 1)


# -- flash --


def test_flashed_messages_survive_one_redirect(world: World) -> None:
    def say(session: FlaskSession) -> None:
        flash("saved", "info")
        flash(Markup("<b>bold</b>"))

    world.get(say)
    found: list[Any] = []
    world.get(lambda session: found.append(get_flashed_messages(with_categories=True)))
    assert found == [[("info", "saved"), ("message", Markup("<b>bold</b>"))]]
    assert type(found[0][1][1]) is Markup
    assert [type(pair) for pair in found[0]] == [tuple, tuple]
    world.get(lambda session: found.append(get_flashed_messages()))
    assert found[1] == []
    assert world.size == 0


def test_two_tabs_flash_at_once(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    tab = world.other()

    def meanwhile() -> None:
        world.action = lambda session: flash("theirs")
        tab.get("/")

    world.store.on("replace", after(meanwhile))
    world.get(lambda session: flash("ours"))
    found: list[Any] = []
    world.get(lambda session: found.extend(get_flashed_messages()))
    assert sorted(found) == ["ours", "theirs"]


# -- signals --


def test_every_signal_may_use_the_session(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    seen: set[str] = set()
    names = (
        *("appcontext_pushed", "request_started", "template_rendered", "before_render_template"),
        *("message_flashed", "request_finished", "request_tearing_down"),
    )
    receivers = []
    for name in names:

        def receiver(sender: Flask, _name: str = name, **rest: Any) -> None:
            if flask.has_request_context():
                seen.add(f"{_name} {session.get('a')}")

        receivers.append(receiver)
        getattr(flask, name).connect(receiver, world.app)

    def action(session: FlaskSession) -> None:
        flash("hello")
        flask.render_template_string("{{ session.a }}")

    response = world.get(action)
    for name, receiver in zip(names, receivers, strict=True):
        getattr(flask, name).disconnect(receiver, world.app)
    assert response.status_code == 200
    assert seen == {f"{name} 1" for name in names if name != "appcontext_pushed"}
    assert world.store.verbs == ["load", "replace"]


def test_a_write_when_it_is_too_late_breaks_nothing(world: World) -> None:
    """Flask drops such a write silently."""

    def write(sender: Flask, **rest: Any) -> None:
        session["late"] = 1

    with (
        flask.request_finished.connected_to(write, world.app),
        flask.request_tearing_down.connected_to(write, world.app),
    ):
        assert world.get(lambda session: None).status_code == 200
        assert world.get(lambda session: session.update(a=1)).status_code == 200
    assert world.read("late") is None


# -- the test client --


def test_session_transaction_writes_what_the_view_reads(world: World) -> None:
    with world.client.session_transaction() as transaction:
        assert not flask.has_request_context()
        transaction["a"] = 1
        transaction.permanent = True
    assert world.read("a") == 1
    assert not world.stored.browser


def test_session_transaction_reads_what_the_view_wrote_outside_a_context(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    world.store.forget()
    with world.client.session_transaction() as transaction:
        assert world.store.verbs == []
        assert transaction["a"] == 1
        transaction["a"] += 1
        assert isinstance(transaction, FlaskSession)
        transaction.login("ann")
    assert world.store.verbs == ["load", "replace"]
    assert world.read("a") == 2
    assert world.stored.subject == "ann"


def test_session_transaction_ends_a_session(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    with world.client.session_transaction() as transaction:
        transaction.clear()
    assert world.token is None
    assert world.size == 0


def test_session_transaction_with_another_path_and_host(world: World) -> None:
    world.app.config["SESSION_COOKIE_PATH"] = "/shop"
    with world.client.session_transaction("/shop/cart", "http://localhost") as transaction:
        transaction["a"] = 1
    assert world.client.get_cookie("session", path="/shop") is not None


def test_session_transaction_does_not_hide_a_failure(world: World) -> None:
    """Nobody sees its response: a 503 would be a test that passes for the wrong reason."""
    world.store.down(DOWN)
    with (
        pytest.raises(type(DOWN)),
        world.client.session_transaction() as transaction,
    ):
        transaction["a"] = 1


def test_session_transaction_without_a_secret(world: World) -> None:
    world.app.secret_key = None
    with (
        pytest.raises(RuntimeError, match="Session backend did not open a session"),
        world.client.session_transaction(),
    ):
        pass


def test_the_session_can_be_read_after_a_request(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    with world.client:
        world.get(lambda session: None)
        assert session["a"] == 1
        assert session.permanent is False


def test_a_request_context_of_a_test(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    with world.app.test_request_context(headers={"Cookie": f"session={world.token}"}):
        assert session["a"] == 1
        session["b"] = 2
        response = world.app.process_response(Response())
    assert cookie_of(response).value == world.token
    assert world.read("b") == 2


def test_a_copied_context_has_the_same_session(world: World) -> None:
    world.get(lambda session: session.update(a=1))
    found: list[Any] = []

    def action(session: FlaskSession) -> None:
        work = flask.copy_current_request_context(lambda: found.append(flask.session["a"]))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    world.get(action)
    assert found == [1]


# -- async views and threads --


def test_async_views(world: World) -> None:
    app = world.make_app()

    @app.get("/count")
    async def count() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    client = app.test_client()
    assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]


def test_many_threads_each_with_its_own_session(world: World) -> None:
    app = world.make_app()

    @app.get("/add/<int:number>")
    def add(number: int) -> list[int]:
        session["mine"] = [*session.get("mine", ()), number]
        return list(session["mine"])

    def visit(number: int) -> list[int]:
        client = app.test_client()
        for _ in range(5):
            answer = client.get(f"/add/{number}").json
        return list(answer)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(visit, range(16)))
    assert results == [[number] * 5 for number in range(16)]


def test_many_threads_in_one_session_lose_no_attribute(world: World) -> None:
    app = world.make_app()

    @app.get("/set/<name>")
    def put(name: str) -> str:
        session[name] = True
        return "done"

    world.get(lambda session: session.update(a=1))
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: world.other(app).get(f"/set/n{n}").status_code, range(24))
        )
    assert answers == [200] * 24
    assert len(collected(world, dict)[0]) == 25


def test_what_was_read_leaves_memory_with_its_request(world: World) -> None:
    """Not at the next garbage collection: that is late, and takes time itself."""
    world.get(lambda session: session.update(tags={1, 2}))
    seen: list[weakref.ref[set[int]]] = []
    gc.disable()
    try:
        world.get(lambda session: seen.append(weakref.ref(session["tags"])))
        assert [each() for each in seen] == [None]
    finally:
        gc.enable()
