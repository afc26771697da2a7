"""Superseded tokens and unreadable records: empty, silent, and left alone (section 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import Session, SessionGone
from sessionstore.core.state import Status
from tests.core.support import HOUR, World, status, token_of

NEW, VOID = Status.NEW, Status.VOID


def superseded(world: World) -> str:
    token = world.begin(a=1)
    world.request(token, lambda session: session.login("ann"))
    return token


def unreadable(world: World) -> str:
    token = world.begin(a=1)
    world.put(token, bytes([2]) + world.bytes_of(token)[1:])
    return token


VOIDS = pytest.mark.parametrize("make", [superseded, unreadable])


@VOIDS
def test_void_reads_as_empty_sets_no_cookie_and_destroys_nothing(
    make: Callable[[World], str],
) -> None:
    world = World()
    token = make(world)
    before = world.bytes_of(token)
    for action in (dict, Session.destroy, Session.logout, lambda s: s.get("a")):
        session = world.open(token)
        assert session == {}
        assert (session.handle, session.subject, session.is_new) == (None, None, True)
        action(session)
        assert world.manager.commit(session) is None
    assert world.bytes_of(token) == before


@VOIDS
@pytest.mark.parametrize(
    "write",
    [
        lambda s: s.__setitem__("b", 1),
        Session.rotate,
        lambda s: setattr(s, "modified", True),
        lambda s: (s.destroy(), s.__setitem__("b", 1)),
    ],
    ids=["set", "rotate", "modified", "destroy, then set"],
)
def test_a_write_in_void_is_refused_and_dropped(make: Callable[[World], str], write: Any) -> None:
    world = World()
    token = make(world)
    before = world.bytes_of(token)
    session = world.open(token)
    write(session)
    with pytest.raises(SessionGone, match=token[:16]) as caught:
        world.manager.commit(session)
    assert caught.value.handle == token[:16]
    assert world.bytes_of(token) == before
    assert world.size == 1
    assert world.manager.commit(session) is None, "told once; only later writes count now"


@VOIDS
def test_login_in_void_begins_a_session_with_what_this_request_set(
    make: Callable[[World], str],
) -> None:
    world = World()
    token = make(world)
    before = world.bytes_of(token)
    session = world.open(token)
    session["mine"] = 1
    session.login("bob")
    begun = token_of(world.manager.commit(session))
    assert begun[:16] != token[:16]
    assert world.open(begun) == {"mine": 1}
    assert world.open(begun).subject == "bob"
    assert world.bytes_of(token) == before


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda value: bytes([2]) + value[1:], "format"),
        (lambda value: b"", "format"),
        (lambda value: b"\x80\x04\x95pickled", "format"),
        (lambda value: value[:13] + b"??" + value[15:], "key"),
        (lambda value: value[:-1] + bytes([value[-1] ^ 1]), "authenticator"),
        (lambda value: value[:30], "malformed"),
    ],
    ids=["newer format", "empty", "pickle", "unknown key", "forged", "cut off"],
)
def test_an_unreadable_record_is_void_reported_and_left_alone(
    spoil: Callable[[bytes], bytes], reason: str
) -> None:
    world = World()
    token = world.begin(a=1)
    spoilt = spoil(world.bytes_of(token))
    # The store's contract asks for 13 bytes; who can write to it need not keep to it.
    world.put(token, spoilt)

    session = world.open(token)

    assert status(session) is VOID
    assert world.manager.commit(session) is None
    assert world.reports == [(f"unreadable_record:{reason}", token[:16])]
    assert world.bytes_of(token) == spoilt


def test_another_sessions_record_is_void() -> None:
    world = World()
    mine, theirs = world.begin(a=1), world.begin(login="admin")
    world.put(mine, world.bytes_of(theirs))
    assert status(world.open(mine)) is VOID
    assert world.reported == ["unreadable_record:authenticator"]


def test_an_older_record_put_back_is_accepted_until_its_deadlines() -> None:
    # The documented limit: whoever can write to the store can replay, but not extend.
    world = World(idle_timeout=HOUR)
    token = world.begin(a=1)
    old = world.bytes_of(token)
    world.request(token, lambda session: session.update(a=2))
    world.put(token, old)
    assert world.open(token) == {"a": 1}
    world.clock.advance(HOUR)
    world.put(token, old)
    assert status(world.open(token)) is NEW
