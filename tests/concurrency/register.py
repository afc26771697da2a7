"""The store contract as a specification: one key, four verbs.

A value is known by its version, which is never used twice; an absent one is None.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from tests.concurrency.history import Operation


class Register:
    """``load() -> version``, ``create(new)``, ``replace(new, expected)``, ``delete(expected)``.

    Results: ``"done"``, ``"exists"``, ``"missing"`` or ``("conflict", current)``.
    """

    initial: Hashable = None

    def after(self, state: Any, operation: Operation) -> Iterable[Hashable]:
        """See :class:`tests.concurrency.wing_gong.Spec`."""
        after, result = self.execute(state, operation.name, operation.arguments)
        if operation.is_unknown:
            return () if after == state else (after,)
        return (after,) if result == operation.result else ()

    def mark(self, operation: Operation) -> Hashable:
        """See :class:`tests.concurrency.wing_gong.Spec`.

        Not of a ``create``: whoever finds the key taken, or deletes it, notices without a value.
        """
        return operation.arguments[0] if operation.name == "replace" else None

    def execute(self, state: Any, name: str, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        """The state afterwards, and the result."""
        match name, arguments:
            case "load", ():
                return state, state
            case "create", (new,):
                return (new, "done") if state is None else (state, "exists")
            case "replace", (new, expected):
                done = new
            case "delete", (expected,):
                done = None
            case _:
                raise ValueError(f"no such operation: {name}")
        if state is None:
            return None, "missing"
        if expected not in (None, state):
            return state, ("conflict", state)
        return done, "done"
