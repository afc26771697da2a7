"""``Session`` reads itself in time, knows what changed, and tells what it may tell."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from sessionstore import CodecError, HeadersAlreadySent, NotLoaded, Session, StoreUnavailable
from sessionstore.core import record
from sessionstore.core.sealing import Sealer
from tests.core.support import CONTENT, NOW, World, token_of, unread


def with_attribute(world: World, data: bytes) -> str:
    """A session one of whose attributes this release cannot decode."""
    token = world.begin(a=1)
    found = world.stored(token)._replace(attributes={"a": data})
    world.put(token, record.encode(found, token[:16], Sealer(world.manager.config.keys)))
    return token


def test_a_session_that_cannot_be_decoded_never_looks_empty() -> None:
    world = World()
    session = world.manager.begin(with_attribute(world, b"\xc1"), Session)
    for _ in range(2):
        with pytest.raises(CodecError):
            json.dumps(session)


# -- after the end --


def test_after_destroy_it_is_new_and_knows_nothing_of_the_one_before() -> None:
    world = World()
    session = world.open(world.begin(login="ann", a=1))
    session.destroy()
    assert session == {}
    assert session.is_new
    assert (session.handle, session.subject) == (None, None)
    assert (session.created, session.authenticated) == (None, None)


def test_clearing_an_empty_session_needs_no_cookie_and_is_no_error_in_a_stream() -> None:
    world = World()
    session = world.open()
    session.state.headers_sent = True
    session.clear()
    assert world.manager.commit(session) is None


# -- who it is --


@pytest.mark.parametrize("user_id", ["x" * 1025, "x" * 70_000, "\u00e9" * 513])
def test_a_user_id_that_does_not_fit_is_refused_by_whichever_way_it_comes(user_id: str) -> None:
    world = World(subject_key="_user_id")
    session = world.open()
    with pytest.raises(ValueError, match="1 to 1024 bytes"):
        session.login(user_id)
    session["_user_id"] = user_id
    with pytest.raises(TypeError, match=r"_user_id cannot be stored: .* 1024 bytes"):
        world.manager.commit(session)


def test_a_user_id_of_1024_bytes_fits() -> None:
    world = World(subject_key="_user_id")
    session = world.open()
    session["_user_id"] = "\u00e9" * 512
    assert world.open(token_of(world.manager.commit(session))).subject == "\u00e9" * 512


# -- accessed and modified --


def test_modified_is_asked_without_loading_anything() -> None:
    world = World()
    session = world.manager.begin(world.begin(a=1), Session)
    assert not session.modified
    assert world.store.verbs == []
    assert not session.accessed


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.__setitem__("a", 1),
        lambda s: s.update(a=1),
        lambda s: s.update(),
        lambda s: s.pop("a"),
        lambda s: s.popitem(),
        lambda s: s.clear(),
    ],
    ids=["the same value", "the same by update", "update by nothing", "pop", "popitem", "clear"],
)
def test_a_mutating_call_marks_it_even_if_nothing_changed(change: Callable[[Any], Any]) -> None:
    session = unread(CONTENT)
    change(session)
    assert session.modified


@pytest.mark.parametrize(
    "no_change",
    [
        lambda s: s.pop("x", None),
        lambda s: s.setdefault("a", 5),
        lambda s: s.pop("x"),
        lambda s: s.__delitem__("x"),
        lambda s: s.__getitem__("x"),
    ],
    ids=["pop of nothing", "setdefault", "pop fails", "del fails", "read fails"],
)
def test_a_call_that_finds_nothing_to_change_marks_nothing(no_change: Any) -> None:
    session = unread(CONTENT)
    with contextlib.suppress(KeyError):
        no_change(session)
    assert not session.modified


def test_popitem_of_an_empty_session_is_a_key_error_and_no_change() -> None:
    session = unread({})
    with pytest.raises(KeyError):
        session.popitem()
    assert not session.modified


def test_a_nested_change_is_found_and_undone_again_is_none() -> None:
    session: Any = unread(CONTENT)
    session["b"].append(3)
    assert session.modified
    session["b"].pop()
    assert not session.modified


def test_a_nested_value_that_cannot_be_stored_counts_as_a_change() -> None:
    session = unread(CONTENT)
    session["b"].append(object())
    assert session.modified


def test_modified_stays_after_a_commit_and_writes_nothing_more() -> None:
    world = World()
    session = world.open()
    session["a"] = 1
    world.manager.commit(session)
    world.store.forget()

    assert session.modified
    assert world.manager.commit(session) is None
    assert world.store.verbs == []


def test_setting_modified_true_writes_and_false_takes_a_new_baseline() -> None:
    world = World()
    token = world.begin(b=[1])
    session: Any = world.open(token)
    session["b"].append(2)
    session["c"] = 3
    session.modified = False

    assert not session.modified
    assert world.manager.commit(session) is None
    assert world.open(token) == {"b": [1]}

    session["b"].append(4)
    assert session.modified, "compared with the baseline taken then"
    session["b"].pop()
    session.modified = True
    world.manager.commit(session)
    assert "replace" in world.store.verbs
    assert world.open(token) == {"b": [1]}, "nothing has changed since the baseline"


def test_accessed_may_be_reset() -> None:
    session = unread(CONTENT)
    assert "a" in session
    session.accessed = False
    assert not session.accessed


@pytest.mark.parametrize("name", ["handle", "subject", "created", "is_new", "available"])
def test_whoever_asks_about_the_session_has_accessed_it(name: str) -> None:
    session = unread(CONTENT)
    getattr(session, name)
    assert session.accessed


# -- what it says about itself --


def test_a_stored_session_tells_its_handle_times_and_subject() -> None:
    world = World()
    session = world.open(world.begin(login=42, a=1))
    assert session.handle is not None
    assert len(session.handle) == 16
    assert session.subject == "42"
    assert session.created == session.authenticated == datetime.fromtimestamp(NOW, UTC)
    assert (session.is_new, session.available) == (False, True)


def test_a_new_session_has_none_of_these() -> None:
    session = World().open()
    assert (session.handle, session.created, session.authenticated) == (None, None, None)
    assert (session.subject, session.is_new, session.available) == (None, True, True)


def test_an_anonymous_session_was_never_authenticated() -> None:
    world = World()
    session = world.open(world.begin(a=1))
    assert session.created is not None
    assert session.authenticated is None


def test_the_subject_is_the_one_at_commit() -> None:
    world = World()
    session = world.open(world.begin(login="ann"))
    session.login("bob")
    assert session.subject == "bob"
    session.clear()
    assert session.subject is None, "clear() takes the subject with it"


@pytest.mark.parametrize("user_id", [None, "", "\ud800"])
def test_login_needs_a_user_id(user_id: Any) -> None:
    session = unread(CONTENT)
    with pytest.raises(ValueError, match=r"user id|surrogates"):
        session.login(user_id)
    assert not session.modified


def test_another_users_login_leaves_what_this_request_set() -> None:
    world = World()
    token = world.begin(login="ann", theirs=1, both=2)
    session = world.open(token)
    session["mine"] = 3
    session["both"] = 2  # equal, but set by this request
    session.login("bob")
    assert session == {"mine": 3, "both": 2}


def test_an_anonymous_visitors_attributes_stay_at_login() -> None:
    session = unread(CONTENT)
    session.login("ann")
    assert session == CONTENT


def test_an_asynchronous_session_says_that_it_must_be_loaded() -> None:
    world = World()
    session = world.manager.begin(world.begin(a=1), Session, lazy=False)
    for read in (len, json.dumps, lambda s: s["a"], lambda s: s.handle):
        with pytest.raises(NotLoaded, match=r"await session\.load\(\)"):
            read(session)
    session.destroy()  # needs no reading


def test_a_load_that_failed_is_not_tried_at_each_read() -> None:
    world = World()
    session = world.manager.begin(world.begin(a=1), Session)
    world.store.down(StoreUnavailable("connection refused"))
    for read in (len, json.dumps, lambda s: s.get("a"), lambda s: s.login("ann")):
        with pytest.raises(StoreUnavailable):
            read(session)
    assert world.store.verbs == ["load"]


def test_where_pages_are_preferred_an_unavailable_session_reads_as_empty() -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(a=1)
    world.store.down(StoreUnavailable("connection refused"))
    session = world.open(token)
    assert not session.available
    assert session == {}
    assert session.handle is None
    with pytest.raises(StoreUnavailable):
        session.login("ann")


# -- nothing leaks --


def test_its_repr_shows_no_value_and_no_token() -> None:
    world = World()
    token = world.begin(a="a secret value")
    session = world.manager.begin(token, Session)
    assert repr(session) == "<Session unloaded None attributes=?>"
    assert session["a"]
    assert (
        repr(session)
        == str(session)
        == f"{session}"
        == (f"<Session loaded {token[:16]} attributes=1>")
    )
    assert world.store.verbs == ["load"]
    assert dict.__repr__(world.manager.begin(token, Session)) == "{<session not read>: None}"
    assert token[17:60] not in repr(session.state)


@pytest.mark.parametrize("protocol", range(6))
def test_it_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not picklable: copy what you need"):
        unread(CONTENT).__reduce_ex__(protocol)


# -- after the headers are out --


@pytest.mark.parametrize(
    "late",
    [
        lambda s: s.login("ann"),
        lambda s: s.rotate(),
        lambda s: s.__setitem__("a", 1),
        lambda s: s.update(a=1),
        lambda s: s.setdefault("a", 1),
        lambda s: setattr(s, "modified", True),
    ],
    ids=["login", "rotate", "setitem", "update", "setdefault", "modified"],
)
def test_what_needs_a_cookie_is_refused_before_it_changes_anything(late: Any) -> None:
    session = unread({})
    session.state.headers_sent = True
    with pytest.raises(HeadersAlreadySent):
        late(session)
    assert session == {}
    assert not session.modified


@pytest.mark.parametrize(
    "late", [Session.rotate, partial(Session.login, user_id=1)], ids=["rotate", "login"]
)
def test_a_stored_session_cannot_change_its_secret_then(late: Any) -> None:
    session = unread(CONTENT)
    session.state.headers_sent = True
    with pytest.raises(HeadersAlreadySent):
        late(session)


def test_ordinary_writes_and_destroying_work_then() -> None:
    world = World()
    token = world.begin(a=1)
    session = world.open(token)
    session.state.headers_sent = True
    session["a"] = 2
    world.manager.commit(session)
    assert world.open(token) == {"a": 2}
    session.destroy()
    with pytest.raises(HeadersAlreadySent):
        session["begins another"] = 1
    world.manager.commit(session)
    assert world.size == 0
