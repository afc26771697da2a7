"""The model over every store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set
from functools import partial

import pytest

from sessionstore.stores.base import Store
from tests.model.behind import TwoCopies, at_once
from tests.model.machine import Sessions
from tests.model.running import run_model
from tests.model.situations import EXPECTED, OF_SEVERAL_COMMANDS
from tests.support.every_store import AnyStore
from tests.support.memcached_servers import MemcachedServer, run_memcached

pytestmark = pytest.mark.once

MANY = 200
FEWER = 30
"""Where each step is a few round trips to a server."""
LONGER = 120
"""Rules in one example, where a verb takes several commands."""

Record = Callable[[str, object], None]


def test_it_holds_over_every_store(any_store: AnyStore, record_property: Record) -> None:
    """In memory by a clock that moves, elsewhere by one that stands still for the store."""
    met: Counter[str] = Counter()
    if not any_store.is_shared:
        run_model(lambda: Sessions(met=met), MANY)
    else:
        with any_store.opened() as store:
            if any_store.name == "memcached-copies":
                behind = TwoCopies(store)
                make = partial(Sessions, store, met, behind=behind)
                run_model(make, FEWER // 2, stateful_step_count=LONGER)
            else:
                run_model(partial(Sessions, store, met), FEWER)
    for name in ("runs", "commits", "commands", "faults"):
        record_property(name, met[name])


def test_it_holds_while_memcached_is_restarted(prefix: str) -> None:
    with run_memcached() as server, AnyStore("memcached", server.url, prefix).opened() as store:
        run_model(lambda: Sessions(store, restart=lambda: restart(server, store)), FEWER)


def restart(server: MemcachedServer, store: Store) -> None:
    """Kill it, and start it again on the same socket."""
    server.child.stop()
    server.socket.unlink()
    server.child.start()
    server.child.wait_until(server.socket.exists)
    # A read finds out that the connections of before have ended.
    assert at_once(store, store.load(store.key("anything"))) is None


def test_it_gets_into_all_of_these() -> None:
    """What it never met it has not tested."""
    met = met_by(partial(Sessions), EXPECTED)
    assert not EXPECTED - met.keys()


@pytest.mark.parametrize("any_store", ["memcached"], indirect=True)
def test_it_gets_between_the_commands_of_a_verb(any_store: AnyStore) -> None:
    """The same, where a conflict takes a second command."""
    with any_store.opened() as store:
        met = met_by(partial(Sessions, store), OF_SEVERAL_COMMANDS)
    assert not OF_SEVERAL_COMMANDS - met.keys()


def met_by(make: Callable[..., Sessions], wanted: Set[str]) -> Counter[str]:
    """Run it until it has met all of these, or far longer than that takes.

    Examples depend on what else is imported (Hypothesis takes constants from there), so a fixed
    seed would not fix them.
    """
    met: Counter[str] = Counter()
    for _ in range(12):
        run_model(partial(make, met=met), 150, derandomize=False, database=None)
        if not wanted - met.keys():
            break
    return met
