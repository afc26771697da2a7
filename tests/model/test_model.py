"""The model over every store."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.model.machine import Sessions
from tests.model.running import run_model
from tests.model.situations import EXPECTED
from tests.support.every_store import AnyStore

pytestmark = pytest.mark.once

MANY = 200
FEWER = 30
"""Where each step is a few round trips to a server."""


def test_it_holds_over_every_store(any_store: AnyStore) -> None:
    """In memory by a clock that moves, elsewhere by one that stands still for the store."""
    if not any_store.is_shared:
        run_model(Sessions, MANY)
        return
    with any_store.opened() as store:
        run_model(lambda: Sessions(store), FEWER)


def test_it_gets_into_all_of_these() -> None:
    """The same examples each time, so that what they meet is a fact and not luck."""
    met: Counter[str] = Counter()
    run_model(lambda: Sessions(met=met), 400, derandomize=True, database=None)
    assert not EXPECTED - met.keys()
