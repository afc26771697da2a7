"""Is there an order in which all of this could have happened one after the other?

Wing and Gong, "Testing and Verifying Concurrent Objects" (JPDC 1993): take any operation that no
other had returned before, see whether the specification allows its result now, go on with the
rest, and take it back where that leads nowhere. With Lowe's memory ("Testing for Linearizability",
2017) of what was tried: the same operations done, and the same state.

A history is partitioned by session first, which is sound: linearizability is local (Herlihy and
Wing, 1990).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from tests.concurrency.history import History, Operation

LIMIT = 2_000_000
"""States that one search may visit. What takes more says so, and is no success."""


class Spec(Protocol):
    """What one session does, one operation after the other."""

    initial: Hashable

    def after(self, state: Any, operation: Operation) -> Iterable[Hashable]:
        """The states after it, none if it cannot have had this result.

        An operation of unknown outcome has no result: the states after it was executed. None if it
        would have changed nothing, since then it need not have happened.
        """

    def mark(self, operation: Operation) -> Hashable:
        """The value that it alone leaves behind, by which it would be noticed; or None."""


class Verdict(NamedTuple):
    """What a search has found.

    :param order: an order that explains everything, or None
    :param longest: else the longest that explains a part
    :param visited: states looked at
    """

    order: list[Operation] | None
    longest: list[Operation]
    visited: int


class TooLong(Exception):
    """The search was given up: neither accepted nor rejected."""


def search(operations: Iterable[Operation], spec: Spec, limit: int | None = None) -> Verdict:
    """Look for an order.

    :param limit: of the states that it may visit; None: ``LIMIT``
    :raises TooLong: after so many
    """
    limit = LIMIT if limit is None else limit
    found = sorted(_noticed(list(operations), spec), key=lambda operation: operation.invoked)
    certain = sum(1 << place for place, each in enumerate(found) if not each.is_unknown)
    visited: set[tuple[int, Hashable]] = set()
    longest: list[Operation] = []
    path: list[Operation] = []
    trail = [_choices(found, 0, spec.initial, spec)]
    while trail:
        step = next(trail[-1], None)
        if step is None:
            trail.pop()
            if path:
                path.pop()
            continue
        done, state, operation = step
        if (done, state) in visited:
            continue
        visited.add((done, state))
        if len(visited) > limit:
            raise TooLong(f"{len(found)} operations")
        path.append(operation)
        if done & certain == certain:
            return Verdict(path, path, len(visited))
        if len(path) > len(longest):
            longest = list(path)
        trail.append(_choices(found, done, state, spec))
    return Verdict(None if certain else [], longest, len(visited))


def _noticed(operations: list[Operation], spec: Spec) -> Iterator[Operation]:
    """All but what may or may not have happened, and nobody has seen: then it need not have.

    Each of those would double the states to be looked at.
    """
    seen: Counter[Hashable] = Counter()
    for operation in operations:
        seen.update({*_values(operation.arguments), *_values(operation.result)})
    for operation in operations:
        mark = spec.mark(operation)
        # Its own arguments are the one place where a mark is not seen by somebody else.
        if not operation.is_unknown or mark is None or seen[mark] > 1:
            yield operation


def _values(result: Any) -> Iterator[Hashable]:
    if isinstance(result, tuple):
        for part in result:
            yield from _values(part)
    else:
        yield result


def _choices(
    found: Sequence[Operation], done: int, state: Hashable, spec: Spec
) -> Iterator[tuple[int, Hashable, Operation]]:
    """What may come next: whatever began before any that is left has returned."""
    horizon = None
    possible: list[tuple[int, Operation]] = []
    for place, operation in enumerate(found):
        if done >> place & 1:
            continue
        if horizon is not None and operation.invoked > horizon:
            break
        possible.append((place, operation))
        if horizon is None or operation.returned < horizon:
            horizon = operation.returned
    # What returned first is most likely to have come first; what is unknown, only if it must.
    possible.sort(key=lambda each: each[1].returned)
    for place, operation in possible:
        for after in spec.after(state, operation):
            yield done | 1 << place, after, operation


class NotLinearizable(AssertionError):
    """A history that no order explains."""


def check(history: History, spec: Spec) -> int:
    """Look for an order in each session's history.

    :return: how many sessions were checked
    :raises NotLinearizable: with what could not be explained
    """
    parts = history.parts()
    for part, operations in parts.items():
        verdict = search(operations, spec)
        if verdict.order is None:
            raise NotLinearizable(explain(part, operations, verdict))
    return len(parts)


def explain(part: str, operations: list[Operation], verdict: Verdict) -> str:
    """What could be explained, and what was left over."""
    explained = set(verdict.longest)
    rest = [operation for operation in operations if operation not in explained]
    rest.sort(key=lambda operation: operation.invoked)
    lines = [f"session {part}: no order explains these {len(operations)} operations"]
    lines += [f"  explained  {_line(operation)}" for operation in verdict.longest[-8:]]
    lines += [f"  left over  {_line(operation)}" for operation in rest[:8]]
    return "\n".join(lines)


def _line(operation: Operation) -> str:
    took = "?" if operation.is_unknown else f"{(operation.returned - operation.invoked) // 1000} us"
    return f"{operation.name}{operation.arguments} -> {operation.result!r} ({took})"
