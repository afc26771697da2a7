"""The manager: a clock, randomness, deadlines, reports, and what failures become."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from sessionstore import (
    MemoryStore,
    OutcomeUnknown,
    Session,
    SessionConfig,
    SessionManager,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.state import Status
from tests.core.support import KEY, World, token_of, write
from tests.support.scripted_store import raises

pytestmark = pytest.mark.anyio

DOWN = StoreUnavailable("connection refused")


# -- a failed load --


def test_a_load_that_succeeds_after_all_makes_the_failure_forgotten() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.manager.begin(token, Session)
    world.store.on("load", raises(DOWN))
    with pytest.raises(StoreUnavailable):
        world.manager.load(session.state)

    world.manager.load(session.state)

    assert session == {"a": 1}
    session.login("ann")
    assert world.open(token_of(world.manager.commit(session))).subject == "ann"


# -- sites that prefer pages to errors --


@pytest.mark.parametrize("when", ["at the load", "at the commit"])
def test_a_login_by_the_frameworks_own_attribute_is_never_dropped_silently(when: str) -> None:
    world = World(on_unavailable="anonymous", subject_key="_user_id")
    token = world.begin(a=1)
    if when == "at the load":
        world.store.down(DOWN)
    session = world.open(token)
    session["_user_id"] = "ann"
    world.store.down(DOWN)

    with pytest.raises(StoreUnavailable):
        world.manager.commit(session)


def test_a_logout_by_the_frameworks_own_attribute_is_never_dropped_silently() -> None:
    world = World(on_unavailable="anonymous", subject_key="_user_id")
    token = world.begin(a=1, _user_id="ann")
    session = world.open(token)
    del session["_user_id"]
    world.store.down(DOWN)

    with pytest.raises(StoreUnavailable):
        world.manager.commit(session)


def test_an_ordinary_write_is_dropped_and_reported_where_pages_are_preferred() -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.down(DOWN)
    assert world.manager.commit(session) is None
    assert not session.available
    assert world.reports == [("write_dropped", token[:16])]
    assert world.manager.commit(session) is None, "once"
    world.store.up()
    assert world.open(token) == {"a": 1}


def test_an_unavailable_session_writes_nothing_and_sets_no_cookie() -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(a=1)
    world.store.down(DOWN)
    session = world.open(token)
    write(session)
    session.rotate()
    world.store.up()
    world.store.forget()
    assert world.manager.commit(session) is None
    assert world.store.verbs == []
    assert world.reports == [("unavailable", token[:16])]


@pytest.mark.parametrize(
    "error",
    [StoreRefused("WRONGPASS"), StoreFull("OOM"), OutcomeUnknown("reset")],
    ids=lambda error: type(error).__name__,
)
def test_other_failures_are_errors_even_there(error: StoreError) -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(a=1)
    session = world.open(token)
    write(session)
    world.store.down(error)
    with pytest.raises(type(error)):
        world.manager.commit(session)
    if not isinstance(error, OutcomeUnknown):
        with pytest.raises(type(error)):
            world.open(token)


def test_by_default_a_store_that_is_down_is_an_error_never_an_empty_session() -> None:
    world = World()
    token = world.begin(login="ann")
    world.store.down(DOWN)
    with pytest.raises(StoreUnavailable):
        world.open(token)
    session = world.manager.begin(token, Session)
    for look in (len, dict, bool, lambda s: s.subject, lambda s: s.available):
        with pytest.raises(StoreUnavailable):
            look(session)


def test_logging_out_unread_while_the_store_is_down_is_an_error() -> None:
    world = World(on_unavailable="anonymous")
    session = world.manager.begin(world.begin(login="ann"), Session)
    session.logout()
    world.store.down(DOWN)
    with pytest.raises(StoreUnavailable):
        world.manager.commit(session)
    assert session.state.destroyed


def test_a_session_to_be_destroyed_is_never_served_as_an_anonymous_one() -> None:
    world = World(on_unavailable="anonymous")
    state = world.manager.begin_state(world.begin(login="ann"))
    state.mark_destroyed()
    world.store.down(DOWN)
    with pytest.raises(StoreUnavailable):
        world.manager.load(state)
    assert state.status is Status.UNLOADED


# -- sync and async are the same --


async def test_each_method_and_its_twin_run_the_same_flow() -> None:
    world = World()
    session = await world.manager.aopen(None)
    session["a"] = [1]
    token = token_of(await world.manager.acommit(session))
    session = await world.manager.aopen(token)
    assert session == {"a": [1]}
    session["a"].append(2)
    assert token_of(await world.manager.acommit(session)) == token
    assert world.open(token) == {"a": [1, 2]}
    assert world.store.verbs == ["create", "load", "replace", "load"]


async def test_loading_twice_costs_once() -> None:
    world = World()
    session = await world.manager.aopen(world.begin(a=1))
    await world.manager.aload(session.state)
    assert world.store.verbs == ["load"]


@pytest.mark.parametrize("on_unavailable", ["error", "anonymous"])
async def test_a_failed_load_is_the_same_in_async(on_unavailable: str) -> None:
    world = World(on_unavailable=on_unavailable)
    token = world.begin(a=1)
    world.store.down(DOWN)
    if on_unavailable == "error":
        with pytest.raises(StoreUnavailable):
            await world.manager.aopen(token)
    else:
        assert not (await world.manager.aopen(token)).available


@pytest.mark.parametrize("on_unavailable", ["error", "anonymous"])
async def test_a_failed_commit_is_the_same_in_async(on_unavailable: str) -> None:
    world = World(on_unavailable=on_unavailable)
    token = world.begin(a=1)
    session = await world.manager.aopen(token)
    write(session)
    world.store.down(DOWN)
    if on_unavailable == "error":
        with pytest.raises(StoreUnavailable):
            await world.manager.acommit(session)
    else:
        assert await world.manager.acommit(session) is None
        assert world.reported == ["write_dropped"]


async def test_a_cancelled_commit_leaves_the_session_as_it_was_and_may_be_repeated() -> None:
    world = World()
    token = world.begin(a=1)
    session = await world.manager.aopen(token)
    write(session)
    world.store.on("replace", raises(asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await world.manager.acommit(session)
    assert world.open(token) == {"a": 1}
    assert token_of(await world.manager.acommit(session)) == token
    assert world.open(token) == {"a": 1, "b": 2}


# -- reports and the log --


def test_reports_reach_the_log_and_the_callback_and_hold_no_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    token = world.begin(a=1)
    world.request(token, lambda session: session.login("ann"))
    world.open(token)
    assert world.reports == [("token_reuse", token[:16])]
    assert f"session {token[:16]}: token_reuse" in caplog.text
    assert token[17:60] not in caplog.text


def test_without_a_callback_they_are_logged_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    older = world.begin(a=1)
    world.clock.advance(1)
    manager = SessionManager(world.store, world.manager.config, clock=world.clock)
    manager.open([older, world.begin(a=2)])
    assert "ambiguous_cookie" in caplog.text


def test_a_refusal_is_logged_at_error_once_and_the_rest_as_warnings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    token = world.begin(a=1)
    world.store.down(StoreRefused("WRONGPASS", node="db1:6379"))
    for _ in range(3):
        with pytest.raises(StoreRefused):
            world.open(token)
    assert [entry.levelname for entry in caplog.records] == ["ERROR"]
    assert "WRONGPASS (db1:6379)" in caplog.text
    caplog.clear()
    world.store.down(DOWN)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            world.open(token)
    assert [entry.levelname for entry in caplog.records] == ["WARNING"] * 2


# -- beginning --


def test_cookies_may_be_one_value_several_or_none() -> None:
    world = World()
    token = world.begin(a=1)
    for cookies in (token, [token], (text for text in ["junk", token])):
        assert world.manager.begin(cookies, Session) == {"a": 1}
    nones: list[Any] = [None, "", [], ()]
    for none in nones:
        assert world.manager.begin(none, Session) == {}


def test_an_ambiguous_cookie_is_reported_before_anything_is_loaded() -> None:
    world = World()
    older = world.begin(a=1)
    world.clock.advance(1)
    newer = world.begin(a=2)
    world.manager.begin([older, newer], Session)
    assert world.reports == [("ambiguous_cookie", newer[:16])]
    assert world.store.verbs == []


def test_a_session_class_of_the_adapters_own_is_made() -> None:
    class Own(Session):
        pass

    assert type(World().manager.begin(None, Own)) is Own


def test_the_real_clock_and_randomness_are_the_defaults() -> None:
    manager = SessionManager(MemoryStore(), SessionConfig(secret_key=KEY))
    session = manager.open(None)
    session["a"] = 1
    before = time.time()
    token = token_of(manager.commit(session))
    again = manager.open(token)
    assert again.created is not None
    assert abs(again.created.timestamp() - before) < 60
    other = manager.open(None)
    other["a"] = 1
    assert token_of(manager.commit(other))[:60] != token[:60]
