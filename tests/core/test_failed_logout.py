"""A logout that cannot be done is an error, by whichever words the application said it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sessionstore import Session, StoreUnavailable
from sessionstore.core.state import Status
from tests.core.support import World, status

DOWN = StoreUnavailable("connection refused")

LOGOUTS: list[Callable[[Session], None]] = [Session.logout, Session.clear]


@pytest.mark.parametrize("logout", LOGOUTS)
@pytest.mark.parametrize("on_unavailable", ["error", "anonymous"])
def test_the_store_fails_at_the_logout(
    logout: Callable[[Session], None], on_unavailable: str
) -> None:
    world = World(on_unavailable=on_unavailable)
    token = world.begin(login="ann")
    session = world.open(token)
    world.store.down(DOWN)

    logout(session)
    with pytest.raises(StoreUnavailable):
        world.manager.commit(session)

    assert session.state.destroyed, "so that the adapter clears the cookie"
    world.store.up()
    assert world.open(token).subject == "ann"


@pytest.mark.parametrize("logout", LOGOUTS)
def test_the_store_had_failed_before_and_the_site_prefers_pages(
    logout: Callable[[Session], None],
) -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(login="ann")
    world.store.down(DOWN)
    session = world.open(token)
    assert status(session) is Status.UNAVAILABLE

    logout(session)
    with pytest.raises(StoreUnavailable):
        world.manager.commit(session)

    assert session.state.destroyed


def cleared_with_a_farewell(session: Session) -> None:
    session.clear()
    session["_flashes"] = ["Good-bye"]


def test_the_store_had_failed_at_the_load_and_something_is_left_to_say() -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(login="ann")
    world.store.down(DOWN)
    session = world.open(token)

    cleared_with_a_farewell(session)

    with pytest.raises(StoreUnavailable):
        world.manager.commit(session)


def test_the_store_had_failed_at_a_write_and_something_is_left_to_say() -> None:
    """Found by tests/model: it was dropped as an ordinary write is, without a word."""
    world = World(on_unavailable="anonymous")
    token = world.begin(login="ann")
    session = world.open(token)
    world.store.down(DOWN)
    session["a"] = 1
    assert world.manager.commit(session) is None

    cleared_with_a_farewell(session)

    with pytest.raises(StoreUnavailable):
        world.manager.commit(session)


def test_who_only_reads_while_the_store_is_down_is_served() -> None:
    world = World(on_unavailable="anonymous")
    token = world.begin(login="ann")
    world.store.down(DOWN)

    assert world.request(token, lambda session: session.get("a")) is None
    assert world.request(None, Session.clear) is None, "an anonymous visitor has no session to end"
