"""Which of several servers a session may be on, and where it would be made. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sessionstore.stores.memcached.notes import State
from sessionstore.stores.memcached.topology import Node


class Places(NamedTuple):
    """Where a session is.

    One that is being left out is among them, and says so when it is asked.

    :param look: where it may be, likeliest first
    :param make: where it would be made; the second has its copy
    :param others: where it could be if more than one server was lost when it was made
    :param now: seconds since 1970
    :param joining: those that were taken back a moment ago
    """

    look: tuple[Node, ...]
    make: tuple[Node, ...]
    others: tuple[Node, ...] = ()
    now: float = 0.0
    joining: frozenset[Node] = frozenset()

    @property
    def all(self) -> tuple[Node, ...]:
        """Where it may be at all, likeliest first."""
        return self.look + self.others


def places_in(order: Sequence[Node], states: Mapping[Node, State]) -> Places:
    """Of the keys whose servers come in this order."""
    look: list[Node] = []
    make: list[Node] = []
    others: list[Node] = []
    joining: set[Node] = set()
    for node in order:
        state = states.get(node, State.OUT)
        if state is State.OUT:
            continue
        if state is State.JOINING:
            joining.add(node)
        if len(make) == 2:
            others.append(node)
        else:
            look.append(node)
            if state is not State.JOINING:
                make.append(node)
    return Places(tuple(look), tuple(make or look), tuple(others), joining=frozenset(joining))
