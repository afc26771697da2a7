"""Records read from a copy that may be behind, and writes that are on too few servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sessionstore import MemoryStore, NotReplicated, SessionConfig, SessionGone, SessionManager
from sessionstore.core.durability import NOT_REPLICATED
from sessionstore.core.errors import OutcomeUnknown
from sessionstore.core.flow import Flow
from sessionstore.core.state import Status
from sessionstore.stores.base import Entry, Store
from tests.core.support import DAY, KEY, World, spoil, status, token_of
from tests.support.scripted_store import ScriptedStore, raises


class Copied(ScriptedStore):
    """Loads from a copy that is as old as a test wants."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.copy: dict[bytes, Entry] | None = None

    def freeze(self, memory: MemoryStore) -> None:
        """From now on the copy stays as it is."""
        keys = list(memory.keys())
        entries = {key: peek(memory, key) for key in keys}
        self.copy = {key: one._replace(may_lag=True) for key, one in entries.items() if one}

    def load(self, key: bytes) -> Flow[Entry | None]:
        if self.copy is None or key not in self.copy:
            return (yield from super().load(key))
        self.verbs.append("copy")
        return self.copy[key]


def peek(memory: MemoryStore, key: bytes) -> Entry | None:
    flow = memory.load(key)
    command = next(flow)
    try:
        flow.send(command.decode(memory.execute(command, 0.0)))
    except StopIteration as stop:
        entry: Entry | None = stop.value
        return entry
    raise AssertionError("load is one command")


@pytest.fixture
def world() -> World:
    world = World()
    world.store = Copied(world.memory)
    world.manager = world.server()
    return world


def frozen(world: World, **attributes: Any) -> str:
    """A session's token, the session being on the copy as well."""
    token = world.begin(**attributes or {"a": 1})
    assert isinstance(world.store, Copied)
    world.store.freeze(world.memory)
    return token


def directly(world: World, token: str) -> Any:
    """A request to a server that reads from the primary."""
    manager = SessionManager(
        world.memory, SessionConfig(secret_key=KEY), clock=world.clock, entropy=world.entropy
    )
    session = manager.open(token)
    return session, manager


def test_a_copy_that_is_good_enough_is_one_read(world: World) -> None:
    token = frozen(world)
    assert world.open(token)["a"] == 1
    assert world.store.verbs == ["copy"]


def test_a_secret_that_the_copy_does_not_know_yet(world: World) -> None:
    token = frozen(world)
    session, manager = directly(world, token)
    session.login("ada")
    new = token_of(manager.commit(session))
    assert world.open(new).subject == "ada"
    assert world.store.verbs == ["copy", "reload"]
    assert world.reported == []


def test_a_copy_that_has_not_seen_the_last_activity(world: World) -> None:
    """By the copy's word the session has ended by inactivity."""
    token = frozen(world)
    for _ in range(3):
        world.clock.advance(6 * DAY)
        session, manager = directly(world, token)
        session["b"] = 1
        manager.commit(session)
    assert world.open(token)["b"] == 1
    assert world.store.verbs == ["copy", "reload"]


def test_a_copy_that_cannot_be_read(world: World) -> None:
    token = frozen(world)
    assert isinstance(world.store, Copied)
    spoil(world, token)
    world.store.freeze(world.memory)
    assert status(world.open(token)) is Status.VOID
    assert world.store.verbs == ["copy", "reload"]


def test_what_is_gone_by_then(world: World) -> None:
    token = frozen(world)
    session, manager = directly(world, token)
    session.login("ada")
    manager.commit(session)
    # The client's token is the one of the copy, so the copy is believed: a documented limit.
    assert world.open(token)["a"] == 1
    # Another token is not in the copy's power to accept.
    world.remove(token)
    other = token_of(manager.commit(_with_login(manager)))
    assert world.open(other).subject == "bob"


def _with_login(manager: SessionManager) -> Any:
    session = manager.open(None)
    session.login("bob")
    return session


def test_no_cookie_on_the_word_of_a_copy(world: World) -> None:
    token = frozen(world)
    session = world.open(token)
    assert world.manager.resend(session.state) is None
    session["b"] = 1
    assert token_of(world.manager.commit(session)) == token
    assert token_of(world.manager.resend(session.state)) == token


def test_a_write_on_a_copy_that_is_behind_a_login(world: World) -> None:
    token = frozen(world)
    session, manager = directly(world, token)
    session.login("ada")
    manager.commit(session)
    stale = world.open(token)
    stale["late"] = 1
    with pytest.raises(SessionGone):
        world.manager.commit(stale)


# -- writes that are on too few servers --


def short(result: Any) -> Any:
    """A write that is executed, and not confirmed."""

    def step(send: Any) -> Any:
        send()
        error = NotReplicated("no replica has confirmed the write in time")
        error.result = result
        raise error

    return step


@pytest.fixture
def plain() -> Iterator[World]:
    world = World()
    yield world
    assert world.store.finished


def test_a_login_that_is_on_one_server_only_is_a_login(plain: World) -> None:
    token = plain.begin(a=1)
    plain.store.on("replace", short(b"version"))
    session = plain.open(token)
    session.login("ada")
    new = token_of(plain.manager.commit(session))
    assert plain.reported == [NOT_REPLICATED]
    assert plain.open(new).subject == "ada"


def test_a_first_login_too(plain: World) -> None:
    plain.store.on("create", short(b"version"))
    token = plain.begin(login="ada")
    assert plain.reported == [NOT_REPLICATED]
    assert plain.open(token).subject == "ada"


def test_a_logout_too_and_the_cookie_goes(plain: World) -> None:
    token = plain.begin(login="ada")
    plain.store.on("delete", short(None))
    session = plain.open(token)
    session.logout()
    cookie = plain.manager.commit(session)
    assert cookie is not None
    assert cookie.value is None
    assert plain.reported == [NOT_REPLICATED]
    assert plain.open(token).is_new


def test_a_logout_whose_reply_is_lost_and_then_is_one_short(plain: World) -> None:
    token = plain.begin(login="ada")
    plain.store.on("delete", raises(OutcomeUnknown("lost")), short(None))
    session = plain.open(token)
    session.logout()
    plain.manager.commit(session)
    assert plain.reported == [NOT_REPLICATED]


def test_the_stores_default_is_that_all_writes_are_alike() -> None:
    store = MemoryStore()
    assert store.critical is store
    assert store.health() == ()


def test_a_shortfall_is_always_reported_and_not_always_logged(
    plain: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a replica it comes with every write."""
    token = plain.begin(login="ada")
    plain.store.on("replace", *[short(b"version")] * 3)
    caplog.clear()
    for number in range(3):
        plain.request(token, lambda session, number=number: session.update(n=number))
    assert plain.reported == [NOT_REPLICATED] * 3
    assert len(caplog.records) == 1
