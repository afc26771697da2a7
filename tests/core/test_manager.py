"""The manager: a clock, randomness, deadlines, reports, and what failures become."""

from __future__ import annotations

import pytest

from sessionstore import Session, StoreUnavailable
from tests.core.support import World, token_of
from tests.support.scripted_store import raises

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
