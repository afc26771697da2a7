"""``copies=2``: whatever happens to one server at a time, in whatever order, all that is answered
fits one session."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionstore.core.flow import Flow
from sessionstore.stores.memcached import copies, copying, takeover
from sessionstore.stores.memcached.items import Item, Kind
from tests.concurrency.history import Operation
from tests.concurrency.wing_gong import NotLinearizable, explain, search
from tests.stores.memcached.copies_world import World

T = TypeVar("T")


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
            possible = current is None
            refusal: Any = "exists"
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
VERBS_OF_ONE_KEY = ("create", "load", "delete", "create", "load", "replace", "end", "load")
LOSSES = ("evict", "restart", "evict", "kill", "restart", "freeze")


def _usual(world: World) -> None:
    return


def _unused(world: World) -> None:
    """The key is new, and used again and again. Sessions do not do that: their keys are random."""


def _moved(world: World) -> None:
    """The copy has become the home, and the copy is on the first server."""
    world.lose(world.nodes[0], "evict")
    world.start("load")
    world.finish()


def _half_known(world: World) -> None:
    """The copy's server was started anew, and one process knows."""
    world.lose(world.nodes[1], "restart")
    world.learn(world.processes[0], world.nodes[1])


def _elsewhere(world: World) -> None:
    """Of two processes each has the copy on another server."""
    _half_known(world)
    for process in reversed(world.processes):
        world.run(world.start("replace", process=process))


def _slow(world: World) -> None:
    """A writer takes its time between the home and the copy."""
    world.run(world.start("replace"), 5)


def _outrun(world: World) -> None:
    """The same, and another one is faster."""
    _slow(world)
    other = world.processes[1]
    world.run(world.start("load", process=other))
    world.run(world.start("replace", process=other))


def _stopped(world: World) -> None:
    """The same, and it has seen that the copy is not there any more."""
    world.lose(world.nodes[1], "evict")
    _slow(world)


def _overtaken(world: World) -> None:
    """The same, and the session is destroyed meanwhile, and the tombstone lost."""
    _stopped(world)
    world.run(world.start("delete"))
    world.lose(world.nodes[1], "evict")


def _half_moved(world: World) -> None:
    """The home is on the last server. Its copy has gone from the first one to the second, is not
    deleted yet on the first, and somebody has looked too early to see it on the second."""
    first, second, last = world.nodes
    one, other = world.processes[:2]
    world.lose(first, "kill")
    world.note(first)
    world.all_learn(first)
    world.run(world.start("load"))
    world.servers[first].answers, world.servers[first].lost = True, False
    world.all_learn(first)
    world.lose(second, "evict")
    world.run(world.start("load"))
    world.lose(first, "restart")
    world.learn(one, first)
    world.run(world.start("replace", process=other))
    slow = world.start("replace", process=one)
    world.run(slow, 3)
    looking = world.start("load", process=other)
    world.run(looking, 5)
    world.run(slow, 6)
    world.run(world.start("load", process=other))
    world.run(world.start("replace", process=other))
    world.lose(last, "evict")
    world.run(looking)


SITUATIONS = (
    *(_usual, _usual, _moved, _half_known, _elsewhere),
    *(_slow, _outrun, _stopped, _overtaken, _half_moved),
)


def simulate(
    choices: bytes, situation: Callable[[World], None] | None = None, **options: Any
) -> World:
    """Have it all happen.

    :param situation: how it begins
    """
    choose = Choices(choices)
    world = World(choose, **options)
    if situation is not _unused:
        world.start("create")
        world.finish()
    (situation or SITUATIONS[choose(len(SITUATIONS))])(world)
    events = EVENTS_OF_ONE_KEY if situation is _unused else EVENTS
    left = 60
    while left and not choose.is_over:
        left -= world.gone  # from then on there is little to see
        _one_thing(world, choose, events)
    world.last_looks()
    return world


def _one_thing(world: World, choose: Choices, events: Events) -> None:
    what = choose(sum(weight for weight, _ in events))
    for weight, event in events:
        if what < weight:
            event(world, choose)
            return
        what -= weight


def _some(choose: Choices, things: Sequence[T]) -> T:
    return things[choose(len(things))]


def _goes_on(world: World, choose: Choices) -> None:
    if world.tasks:
        # Mostly for a while, as it does when the others are slow.
        world.run(_some(choose, world.tasks), 1 + choose(5))


def _begins(world: World, choose: Choices) -> None:
    if len(world.tasks) < 4:
        world.start(_some(choose, VERBS))


def _begins_anew(world: World, choose: Choices) -> None:
    if len(world.tasks) < 4:
        world.start(_some(choose, VERBS_OF_ONE_KEY))


def _is_noticed(world: World, choose: Choices) -> None:
    node = _some(choose, world.nodes)
    for process in world.processes:
        for _ in range(choose(4)):
            world.learn(process, node)


def _is_lost(world: World, choose: Choices) -> None:
    world.lose(_some(choose, world.nodes), _some(choose, LOSSES), hard=choose(4) == 3)


def _is_not_answered(world: World, choose: Choices) -> None:
    if world.tasks:
        world.lose_reply(_some(choose, world.tasks), executed=bool(choose(2)))


def _is_abandoned(world: World, choose: Choices) -> None:
    if world.tasks:
        world.abandon(_some(choose, world.tasks))


Events = Sequence[tuple[int, Callable[[World, Choices], None]]]
EVENTS: Events = (
    (32, _goes_on),
    (12, _begins),
    (6, _is_noticed),
    (6, _is_lost),
    (3, _is_not_answered),
    (1, lambda world, choose: world.note(_some(choose, world.nodes))),
    (1, lambda world, choose: world.wake(_some(choose, world.nodes))),
    (1, lambda world, choose: world.arrive()),
    (1, _is_abandoned),
    (1, lambda world, choose: world.doubt(_some(choose, world.processes), world.nodes[choose(2)])),
)

# No server is lost: what had the key before must then leave no trace at all.
EVENTS_OF_ONE_KEY: Events = (
    (32, _goes_on),
    (12, _begins_anew),
    (3, _is_not_answered),
    (1, lambda world, choose: world.arrive()),
    (1, _is_abandoned),
)


def check(world: World) -> None:
    verdict = search(world.history, TwoCopies(), limit=20_000)
    if verdict.order is None:
        text = explain("", world.history, verdict)
        raise NotLinearizable("\n".join([text, *world.log]))


@pytest.mark.once
@given(choices=st.binary(min_size=60, max_size=500))
@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens_in_whatever_order(choices: bytes) -> None:
    check(simulate(choices))


@pytest.mark.once
@pytest.mark.parametrize(("servers", "processes"), [(2, 2), (4, 2), (3, 3)])
@given(choices=st.binary(min_size=60, max_size=500))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_with_other_numbers(choices: bytes, servers: int, processes: int) -> None:
    check(simulate(choices, _moved, servers=servers, processes=processes))


@pytest.mark.once
@given(choices=st.binary(min_size=60, max_size=500))
@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_key_that_is_used_again(choices: bytes) -> None:
    check(simulate(choices, _unused))


# -- that it can fail --


def _instead(result: object) -> Callable[..., Flow[Any]]:
    """A flow that does nothing."""

    def flow(*_: object) -> Flow[Any]:
        yield from ()
        return result

    return flow


def _follows_the_same(self: Item, other: Item) -> bool:
    newer = self.number > other.number and self.kind is not Kind.COPY
    return self.term == other.term and (self.number == other.number or newer)


Patch = tuple[Any, str, Any]
BUGS: dict[str, tuple[Callable[[World], None], list[Patch]]] = {
    "a destroyed session leaves no tombstone": (
        _usual,
        [(copies, "TOMBSTONE_SECONDS", 0.0), (takeover, "TOMBSTONE_SECONDS", 0.0)],
    ),
    "a tombstone at home alone": (_usual, [(copies, "_entombed", _instead(None))]),
    "a tombstone ends whatever has the key": (_unused, [(Item, "generation", 0)]),
    "what was half destroyed stays so": (_usual, [(takeover, "_is_finished", _instead(True))]),
    "a copy of an older write over a newer one": (_outrun, [(Item, "follows", _follows_the_same)]),
    "a copy counts without another look at the home": (
        _overtaken,
        [(copying, "_is_confirmed", _instead(True))],
    ),
    "a takeover without another look at the other servers": (
        _half_moved,
        [(takeover, "_is_alone", _instead(True))],
    ),
    "an old copy stays when there is one elsewhere": (
        _elsewhere,
        [(copies, "_forgotten", _instead(None))],
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("bug", BUGS)
def test_it_finds(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    situation, patches = BUGS[bug]
    for patch in patches:
        monkeypatch.setattr(*patch)
    choice = random.Random(0)
    for _ in range(5000):
        choices = choice.randbytes(choice.choice([100, 200, 400]))
        try:
            check(simulate(choices, situation))
        except NotLinearizable:
            return
    pytest.fail("it was not found")
