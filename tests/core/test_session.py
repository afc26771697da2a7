"""``Session`` is a dict in every respect, reads itself in time, and knows what changed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sessionstore import CodecError, Session
from sessionstore.core import record
from sessionstore.core.sealing import Sealer
from tests.core.support import World, token_of


def with_attribute(world: World, data: bytes) -> str:
    """A session one of whose attributes this release cannot decode."""
    token = world.begin(a=1)
    found = replace(world.stored(token), attributes={"a": data})
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
