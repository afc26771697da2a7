"""The search itself: it accepts what can have happened, and rejects what cannot."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tests.concurrency import wing_gong
from tests.concurrency.history import PENDING, History, Operation
from tests.concurrency.register import Register
from tests.concurrency.wing_gong import NotLinearizable, TooLong, check, search

pytestmark = pytest.mark.once


def op(name: str, *arguments: Any, to: Any = "done", at: tuple[int, int]) -> Operation:
    return Operation("s", name, arguments, to, *at)


def unknown(name: str, *arguments: Any, at: int) -> Operation:
    return Operation("s", name, arguments, None, at, PENDING)


def is_accepted(*operations: Operation) -> bool:
    return search(operations, Register()).order is not None


CREATED = op("create", "a", at=(0, 1))


def test_one_after_the_other() -> None:
    assert is_accepted(CREATED, op("load", to="a", at=(2, 3)), op("delete", None, at=(4, 5)))


def test_a_read_of_what_was_never_written() -> None:
    assert not is_accepted(CREATED, op("load", to="b", at=(2, 3)))


def test_a_stale_read() -> None:
    replaced = op("replace", "b", "a", at=(2, 3))
    assert not is_accepted(CREATED, replaced, op("load", to="a", at=(4, 5)))


def test_a_read_beside_the_write_may_see_either() -> None:
    for seen in ("a", "b"):
        replaced = op("replace", "b", "a", at=(2, 5))
        assert is_accepted(CREATED, replaced, op("load", to=seen, at=(3, 4)))


def test_two_reads_that_saw_two_writes_in_different_orders() -> None:
    writes = [op("replace", "b", "a", at=(2, 20)), op("replace", "c", "b", at=(3, 20))]
    forth = [op("load", to="b", at=(4, 5)), op("load", to="c", at=(6, 7))]
    back = [op("load", to="c", at=(4, 5)), op("load", to="b", at=(6, 7))]
    assert is_accepted(CREATED, *writes, *forth)
    assert not is_accepted(CREATED, *writes, *back)


def test_a_lost_update() -> None:
    both = [op("replace", "b", "a", at=(2, 5)), op("replace", "c", "a", at=(3, 6))]
    assert not is_accepted(CREATED, *both)


def test_a_resurrection() -> None:
    gone = op("delete", None, at=(2, 3))
    assert not is_accepted(CREATED, gone, op("replace", "b", "a", at=(4, 5)))


def test_what_is_unknown_may_have_happened_or_not_or_late() -> None:
    lost = unknown("replace", "b", "a", at=2)
    assert is_accepted(CREATED, lost)
    assert is_accepted(CREATED, lost, op("load", to="a", at=(3, 4)))
    assert is_accepted(CREATED, lost, op("load", to="b", at=(3, 4)))
    late = [op("load", to="a", at=(3, 4)), op("load", to="b", at=(5, 6))]
    assert is_accepted(CREATED, lost, *late)
    twice = [*late, op("load", to="a", at=(7, 8))]
    assert not is_accepted(CREATED, lost, *twice)


def test_what_is_unknown_cannot_happen_before_it_was_asked_for() -> None:
    assert not is_accepted(
        CREATED, op("load", to="b", at=(2, 3)), unknown("replace", "b", "a", at=4)
    )


def test_nothing_at_all_is_in_order() -> None:
    assert is_accepted()
    assert is_accepted(unknown("delete", None, at=1))


def test_a_rejection_says_what_is_left_over() -> None:
    history = History()
    history.operations = [CREATED, op("load", to="b", at=(2, 3))]
    with pytest.raises(NotLinearizable, match=r"left over  load\(\) -> 'b'"):
        check(history, Register())


def test_a_search_that_takes_too_long_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wing_gong, "LIMIT", 1)
    with pytest.raises(TooLong):
        search([CREATED, op("load", to="a", at=(2, 3))], Register())


def executed(seed: int, clients: int, count: int) -> list[Operation]:
    """A history that happened: each operation is executed at a moment within its time."""
    draw, spec, state = random.Random(seed), Register(), None
    free = [0] * clients
    operations = []
    for moment in range(10, 10 + 10 * count, 10):
        client = draw.randrange(clients)
        if free[client] >= moment:
            continue
        kinds = [
            ("load", ()),
            ("create", (moment,)),
            ("replace", (moment, draw.choice([state, -1]))),
            ("delete", (draw.choice([state, -1]),)),
        ]
        name, arguments = draw.choice(kinds)
        state, result = spec.execute(state, name, arguments)
        began, ended = draw.randint(free[client], moment), draw.randint(moment, moment + 60)
        free[client] = ended + 1
        if draw.random() < 0.1:
            free[client], ended, result = 10**6, PENDING, None
        operations.append(Operation("s", name, arguments, result, began, ended))
    return operations


@given(st.integers(0, 10**6), st.integers(1, 5))
def test_whatever_did_happen_is_accepted(seed: int, clients: int) -> None:
    assert is_accepted(*executed(seed, clients, 40))


def by_brute_force(operations: list[Operation]) -> bool:
    """By the definition: some order of all that is certain and of some of what is not."""
    spec = Register()
    certain = [each for each in operations if not each.is_unknown]
    doubtful = [each for each in operations if each.is_unknown]
    for size in range(len(doubtful) + 1):
        for some in itertools.combinations(doubtful, size):
            for order in itertools.permutations([*certain, *some]):
                if in_time(order) and explains(spec, order):
                    return True
    return False


def in_time(order: tuple[Operation, ...]) -> bool:
    pairs = itertools.combinations(order, 2)
    return all(earlier.invoked <= later.returned for earlier, later in pairs)


def explains(spec: Register, order: tuple[Operation, ...]) -> bool:
    states = {spec.initial}
    for operation in order:
        states = {after for state in states for after in spec.after(state, operation)}
    return bool(states)


def spoiled(seed: int) -> list[Operation]:
    """A history that happened, but for one result, or one time that is another's."""
    draw = random.Random(seed)
    operations = executed(seed, draw.randint(1, 3), 7)
    place = draw.randrange(len(operations))
    one, other = operations[place], draw.choice(operations)
    if one.is_unknown:
        return operations
    if draw.random() < 0.7:
        operations[place] = dataclasses.replace(one, result=other.result)
    elif one.invoked < other.returned < PENDING:
        operations[place] = dataclasses.replace(one, returned=other.returned)
    return operations


@given(st.integers(0, 10**6))
def test_the_definition_says_the_same(seed: int) -> None:
    operations = spoiled(seed)
    assert is_accepted(*operations) == by_brute_force(operations)


def test_what_the_definition_is_asked_about_is_worth_asking() -> None:
    accepted = sum(is_accepted(*spoiled(seed)) for seed in range(200))
    assert 40 < accepted < 160
