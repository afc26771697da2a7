"""Which servers are left out and taken back, and that all processes agree on it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionstore.stores.memcached.membership import PACE, Pace
from sessionstore.stores.memcached.notes import State
from tests.stores.memcached.simulation import World

LABELS = "abc"
SECONDS = st.floats(0.05, 9)
FAULTS = st.one_of(
    st.tuples(
        st.sampled_from(["freeze", "wake", "wake", "restart", "kill", "flush"]),
        st.sampled_from(LABELS),
    ),
    st.tuples(st.just("cut"), st.integers(0, 5), st.sampled_from(LABELS)),
    st.tuples(st.sampled_from(["exit", "suspend"]), st.integers(0, 5)),
    st.tuples(st.sampled_from(["heal", "resume", "spawn"])),
)
SCHEDULES = st.lists(st.tuples(FAULTS, SECONDS), max_size=14)


def simulate(seed: int, servers: int, schedule: list, pace: Pace = PACE, **options) -> World:  # type: ignore
    world = World(seed, servers, 3, pace=pace, **options)
    world.pass_time(4)
    for (name, *arguments), seconds in schedule:
        if (
            arguments and arguments[-1] in LABELS[servers:]
            if isinstance(arguments[-1:][0] if arguments else 0, str)
            else False
        ):
            continue
        getattr(world, name)(*arguments)
        world.pass_time(seconds)
    return world


@pytest.mark.once
@pytest.mark.parametrize("servers", [2, 3])
@given(seed=st.integers(0, 2**32), schedule=SCHEDULES)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_nobody_uses(servers, seed, schedule):
    world = simulate(seed, servers, schedule)
    world.recover()
    for process in world.processes:
        assert set(process.states().values()) == {State.IN}, process.states()
        assert process.membership.is_current()
