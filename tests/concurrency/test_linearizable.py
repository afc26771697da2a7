"""What many clients did at once can be explained as one after the other, in every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sessionstore.stores.base import Store
from tests.concurrency.clients import Crowd, by_tasks, by_threads
from tests.concurrency.faults import faulty
from tests.concurrency.history import History
from tests.concurrency.processes import by_processes
from tests.concurrency.sessions import Sessions
from tests.concurrency.stores import BEHIND_A_NETWORK, SHARED, seeds
from tests.concurrency.wing_gong import check
from tests.support.every_store import AnyStore

By = Callable[[Store, Crowd], History]
Record = Callable[[str, object], None]

HISTORIES = 6
in_two_ways = pytest.mark.parametrize("by", [by_threads, by_tasks])


@in_two_ways
def test_clients_in_one_process(any_store: AnyStore, by: By, record_property: Record) -> None:
    with any_store.opened() as store:
        for seed in seeds(HISTORIES):
            history = by(store, Crowd(seed))
            assert check(history, Sessions()) >= 2
            assert history.failed == 0 or by is by_tasks, "nothing but a cancelled task may fail"
            note(history, record_property)


@pytest.mark.parametrize("any_store", SHARED, indirect=True)
def test_clients_in_processes_of_their_own(any_store: AnyStore, record_property: Record) -> None:
    for seed in seeds(1):
        history = by_processes(any_store, Crowd(seed, clients=2, count=100))
        assert check(history, Sessions()) >= 2
        note(history, record_property)


@in_two_ways
@pytest.mark.parametrize("any_store", BEHIND_A_NETWORK, indirect=True)
def test_clients_whose_network_fails(any_store: AnyStore, by: By, record_property: Record) -> None:
    for seed in seeds(2):
        with faulty(any_store, seed) as (store, network):
            history = by(store, Crowd(seed, lossy=True))
        assert network.struck
        assert check(history, Sessions()) >= 2
        note(history, record_property, struck=network.struck)


def note(history: History, record_property: Record, *, struck: int = 0) -> None:
    """What was checked, for the figures in docs/security.md."""
    record_property("histories", 1)
    record_property("operations", len(history.operations))
    record_property("struck", struck)
