"""Each key of a store is a register with compare-and-set, however many use it at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sessionstore.stores.base import Store
from tests.concurrency import verbs
from tests.concurrency.clients import Crowd
from tests.concurrency.faults import faulty
from tests.concurrency.history import History
from tests.concurrency.register import Register
from tests.concurrency.stores import BEHIND_A_NETWORK, seeds
from tests.concurrency.wing_gong import check
from tests.support.every_store import AnyStore

By = Callable[[Store, Crowd], History]

in_two_ways = pytest.mark.parametrize("by", [verbs.by_threads, verbs.by_tasks])


@in_two_ways
def test_clients_in_one_process(any_store: AnyStore, by: By) -> None:
    with any_store.opened() as store:
        for seed in seeds(3):
            history = by(store, Crowd(seed, count=60))
            assert check(history, Register()) == 2


@in_two_ways
@pytest.mark.parametrize("any_store", BEHIND_A_NETWORK, indirect=True)
def test_clients_whose_network_fails(any_store: AnyStore, by: By) -> None:
    for seed in seeds(1):
        with faulty(any_store, seed) as (store, network):
            history = by(store, Crowd(seed, count=60))
        assert network.struck
        assert check(history, Register()) == 2
