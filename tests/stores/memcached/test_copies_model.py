"""``copies=2``: whatever happens to one server at a time, in whatever order, all that is answered
fits one session."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.concurrency.history import Operation
from tests.concurrency.wing_gong import NotLinearizable, explain, search
from tests.stores.memcached.copies_world import World


class TwoCopies:
    """One session, of which a server's loss may take back what was not stored twice.

    A state is what is stored, and what else may be left when the server with it is lost: the write
    before, if this one was not acknowledged as stored twice. What somebody has not found does not
    come back.
    """

    initial: Hashable = (None, frozenset([None]))

    def after(self, state: Any, operation: Operation) -> Iterable[Hashable]:
        """See :class:`tests.concurrency.wing_gong.Spec`."""
        current, rest = state
        name, result, unknown = operation.name, operation.result, operation.is_unknown
        if name == "lose":
            left = rest if operation.arguments[0] else rest | {None}
            return [(each, frozenset([each])) for each in left if (each, {each}) != state]
        if name == "load":
            if result != current:
                return ()
            return (state if current is not None else self.initial,)
        if name == "create":
            new = operation.arguments[0]
            possible, refusal = current is None, "exists"
        else:
            new = operation.arguments[0] if name == "replace" else None
            expected = operation.arguments[-1]
            possible = current is not None and expected in {None, current}
            refusal = "missing" if current is None else ("conflict", current)
        if possible and (unknown or result == "weak"):
            return ((new, rest | {new}),)
        if possible and result == "done":
            return ((new, frozenset([new])),)
        # A session that has moved is a conflict, too: with what it was.
        if not unknown and result == refusal:
            return (self.initial if current is None else state,)
        return ()

    def mark(self, operation: Operation) -> Hashable:
        """See :class:`tests.concurrency.wing_gong.Spec`."""
        return operation.arguments[0] if operation.name == "replace" else None


class Choices:
    """Takes choices from bytes; at the end, everything takes its usual course."""

    def __init__(self, choices: bytes) -> None:
        self._choices = choices
        self._place = 0

    def __call__(self, count: int) -> int:
        if self._place >= len(self._choices):
            return 0
        self._place += 1
        return self._choices[self._place - 1] % count

    @property
    def is_over(self) -> bool:
        return self._place >= len(self._choices)


VERBS = ("replace", "load", "replace", "replace", "load", "replace", "replace", "end", "delete")
LOSSES = ("evict", "restart", "evict", "kill", "restart", "freeze")


def simulate(choices: bytes, **options: Any) -> World:
    """Have it all happen."""
    choose = Choices(choices)
    world = World(choose, **options)
    world.start("create")
    while world.tasks and choose(32) != 31:
        world.advance(world.tasks[0])
    world.finish()
    left = 60
    while left and not choose.is_over:
        left -= world.gone  # from then on there is little to see
        _one_thing(world, choose)
    world.last_looks()
    return world


def _one_thing(world: World, choose: Choices) -> None:  # noqa: PLR0912 (a thing each)
    nodes, tasks = list(world.servers), world.tasks
    node, what = nodes[choose(len(nodes))], choose(64)
    task = tasks[choose(len(tasks))] if tasks else None
    if what < 32:
        # Mostly it goes on for a while, as it does when the others are slow.
        for _ in range(1 + choose(5)):
            if task in tasks:
                world.advance(task)
    elif what < 44:
        if len(tasks) < 4:
            world.start(VERBS[choose(len(VERBS))])
    elif what < 50:
        for process in world.processes:
            for _ in range(choose(4)):
                world.learn(process, node)
    elif what < 56:
        world.lose(node, LOSSES[choose(len(LOSSES))], hard=choose(4) == 3)
    elif what < 58:
        (world.note, world.wake)[what - 56](node)
    elif what < 61:
        if task is not None:
            world.lose_reply(task, executed=bool(choose(2)))
    elif what == 61:
        world.arrive()
    elif what == 62:
        if task is not None:
            world.abandon(task)
    else:
        world.doubt(world.processes[choose(len(world.processes))], node)


def check(world: World) -> None:
    verdict = search(world.history, TwoCopies(), limit=20_000)
    if verdict.order is None:
        text = explain("", world.history, verdict)
        raise NotLinearizable("\n".join([text, *world.log]))


@pytest.mark.once
@given(choices=st.binary(min_size=60, max_size=500))
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens_in_whatever_order(choices: bytes) -> None:
    check(simulate(choices))
