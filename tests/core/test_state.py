"""What is known of one request's session, for frameworks with a mapping of their own."""

from __future__ import annotations

import pytest

from sessionstore.core.errors import NotLoaded
from sessionstore.core.state import State, Status
from sessionstore.core.token import TokenSigner
from tests.core.support import World

token = TokenSigner(b"k" * 32, absolute_timeout=60).mint("A" * 16, bytes(32), 1, 1_800_000_000)


def test_without_a_token_it_is_new_and_needs_no_loading() -> None:
    state = State(None)
    state.ensure_loaded()
    assert state.status is Status.NEW
    assert (state.handle, state.subject, state.permanent) == (None, None, False)


def test_with_a_token_it_is_loaded_once_when_it_is_needed() -> None:
    loads = []

    def load(which: State) -> None:
        loads.append(which)
        state.status = Status.LOADED

    state = State(token, load)
    assert state.permanent, "by the token's flag, before anything was loaded"
    assert not loads
    state.ensure_loaded()
    state.ensure_loaded()
    assert loads == [state]


def test_without_a_loader_it_must_have_been_loaded() -> None:
    with pytest.raises(NotLoaded):
        State(token).ensure_loaded()


def test_a_frameworks_own_mapping_is_compared_with_what_it_was_given() -> None:
    world = World()
    state = world.manager.begin_state(world.begin(a=1, b=[1], c="x"))
    world.manager.load(state)
    values = state.decode_attributes()
    assert not state.delta(values)
    values["b"].append(2)
    del values["c"]
    values["d"] = 4
    delta = state.delta(values)
    assert set(delta.changed) == {"b", "d"}
    assert delta.removed == {"c"}
    state.rebase(values, delta)
    assert not state.delta(values)


def test_what_cannot_change_and_is_the_same_object_is_not_encoded_again() -> None:
    world = World()
    state = world.manager.begin_state(world.begin(a="text", b=[1]))
    world.manager.load(state)
    values = state.decode_attributes()
    state.baseline["a"] = b"would differ, were it encoded"
    assert not state.delta(values)
    values["a"] = "".join(["te", "xt"])  # equal, but another object
    assert set(state.delta(values).changed) == {"a"}


def test_after_clear_everything_there_is_replaces_what_was() -> None:
    world = World()
    state = world.manager.begin_state(world.begin(a=1))
    world.manager.load(state)
    values = state.decode_attributes()
    state.mark_cleared()
    delta = state.delta(values)
    assert delta.replaces
    assert set(delta.changed) == {"a"}
    assert delta.removed == set()


@pytest.mark.parametrize("minted", [True, False])
def test_a_reports_handle_is_the_tokens(minted: bool) -> None:
    state = State(token if minted else None)
    state.report("what")
    assert state.reports == [("what", token.handle if minted else None)]
