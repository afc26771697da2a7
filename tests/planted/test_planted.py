"""The checks are checked: bugs are planted in the product, and each is found by one that is named.

Whoever changes a check and blinds it by that finds out here. The eleven of the project's plan come
first; what follows them are mistakes that such a library could have as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import Phase

from sessionstore.stores.base import Store
from tests.concurrency import clients, verbs
from tests.concurrency.clients import Crowd
from tests.concurrency.faults import faulty
from tests.concurrency.history import History
from tests.concurrency.register import Register
from tests.concurrency.sessions import Sessions as Spec
from tests.concurrency.wing_gong import NotLinearizable, check
from tests.fuzz.replay import CORPUS
from tests.fuzz.targets import TARGETS
from tests.model.machine import Sessions
from tests.model.running import run_model
from tests.planted import bugs
from tests.planted.bugs import Plant
from tests.support.every_store import AnyStore

pytestmark = pytest.mark.once

By = Callable[[Store, Crowd], History]

# Each with what the model says first: rules by their numbers, see tests/model/__init__.py.
BY_THE_MODEL: list[tuple[Plant, str]] = [
    (bugs.blind_save, "4|7"),
    (bugs.create_after_logout, "2"),
    (bugs.rotation_in_two_steps, "7"),
    (bugs.ttl_past_the_absolute_deadline, "8"),
    (bugs.merge_that_drops_the_other_side, "4"),
    (bugs.merging_ones_own_lost_write, "4"),
    (bugs.create_repeated_after_a_lost_reply, "a create is repeated"),
    (bugs.delete_without_the_secret, "3|5|7|9"),
    (bugs.signature_checked_after_the_load, "10"),
    (bugs.hash_of_another_record, "5|7"),
    (bugs.hash_of_the_record_before, "6|7"),
    (bugs.epoch_ignored, "7"),
    (bugs.old_secret_for_ever, "4|7"),
    (bugs.failure_is_an_empty_session, "12"),
    (bugs.lost_write_called_saved, "11"),
    (bugs.fallback_keys_refused, "10"),
]
# The same, where a conflict takes a second command.
BY_THE_MODEL_OVER_MEMCACHED: list[tuple[Plant, str]] = [
    (bugs.conflict_as_of_before, "3|4"),
    (bugs.missing_is_stored, "11"),
    (bugs.refusal_is_gone, "1, 3"),
]
# Found in what threads, or tasks, have really done at once.
BY_THE_HISTORIES: list[tuple[Plant, By, Register | Spec]] = [
    (bugs.blind_save, clients.by_threads, Spec()),
    (bugs.blind_save, clients.by_tasks, Spec()),
    (bugs.create_after_logout, clients.by_tasks, Spec()),
    (bugs.rotation_in_two_steps, clients.by_threads, Spec()),
    (bugs.merge_that_drops_the_other_side, clients.by_threads, Spec()),
    (bugs.hash_of_the_record_before, clients.by_threads, Spec()),
    (bugs.epoch_ignored, clients.by_tasks, Spec()),
    (bugs.old_secret_for_ever, clients.by_threads, Spec()),
    (bugs.cancelled_connection_put_back, clients.by_tasks, Spec()),
    (bugs.cancelled_connection_put_back, verbs.by_tasks, Register()),
]
BY_THE_HISTORIES_OF_A_BAD_NETWORK: list[tuple[Plant, By]] = [
    (bugs.merging_ones_own_lost_write, clients.by_threads),
    (bugs.lost_write_called_saved, clients.by_threads),
]
# Found by replaying the inputs that a fuzzer has kept.
BY_THE_CORPUS: list[tuple[Plant, str]] = [
    (bugs.token_with_something_behind_it, "token"),
    (bugs.authenticator_not_compared, "record"),
    (bugs.depth_not_counted, "codec"),
    (bugs.half_a_reply_is_one, "memcached-meta"),
]
EXAMPLES = 2000
HISTORIES = 40


@pytest.mark.parametrize(
    ("plant", "rule"), BY_THE_MODEL, ids=[plant.__name__ for plant, _ in BY_THE_MODEL]
)
def test_the_model_finds(plant: Plant, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert_the_model_finds(rule, Sessions)


@pytest.mark.parametrize(
    ("plant", "rule"),
    BY_THE_MODEL_OVER_MEMCACHED,
    ids=[plant.__name__ for plant, _ in BY_THE_MODEL_OVER_MEMCACHED],
)
@pytest.mark.parametrize("any_store", ["memcached"], indirect=True)
def test_the_model_over_memcached_finds(
    plant: Plant, rule: str, any_store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with any_store.opened(warm=False) as store:
        assert_the_model_finds(rule, lambda: Sessions(store))


def assert_the_model_finds(rule: str, make: Callable[[], Sessions]) -> None:
    """It must fail, and begin with what is broken."""
    # The same examples everywhere, and not made shorter: only that they fail is asked.
    with pytest.raises(AssertionError) as found:
        run_model(
            make,
            EXAMPLES,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
        )
    assert re.match(rf"[\d, ]*({rule})\b", str(found.value)), str(found.value)


@pytest.mark.parametrize(
    ("plant", "by", "spec"),
    BY_THE_HISTORIES,
    ids=[
        f"{plant.__name__}-{by.__module__.rpartition('.')[2]}-{by.__name__}"
        for plant, by, _ in BY_THE_HISTORIES
    ],
)
@pytest.mark.parametrize("any_store", ["redis"], indirect=True)
def test_the_histories_find(
    plant: Plant,
    by: By,
    spec: Register | Spec,
    any_store: AnyStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    with any_store.opened() as store:
        assert any(is_rejected(by(store, Crowd(seed)), spec) for seed in range(HISTORIES))


@pytest.mark.parametrize(
    ("plant", "by"),
    BY_THE_HISTORIES_OF_A_BAD_NETWORK,
    ids=[plant.__name__ for plant, _ in BY_THE_HISTORIES_OF_A_BAD_NETWORK],
)
@pytest.mark.parametrize("any_store", ["redis"], indirect=True)
def test_the_histories_of_a_bad_network_find(
    plant: Plant, by: By, any_store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def histories() -> Iterator[History]:
        for seed in range(HISTORIES):
            with faulty(any_store, seed) as (store, _):
                yield by(store, Crowd(seed, lossy=True))

    plant(monkeypatch)
    assert any(is_rejected(history, Spec()) for history in histories())


@pytest.mark.parametrize(
    ("plant", "target"), BY_THE_CORPUS, ids=[plant.__name__ for plant, _ in BY_THE_CORPUS]
)
def test_the_corpus_finds(plant: Plant, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    inputs = [path.read_bytes() for path in (CORPUS / target).iterdir()]

    def replayed() -> None:
        for data in (*inputs, *TARGETS[target].seeds()):
            TARGETS[target].run(data)

    with pytest.raises(AssertionError):
        replayed()


def is_rejected(history: History, spec: Register | Spec) -> bool:
    """Whether no order explains it."""
    try:
        check(history, spec)
    except NotLinearizable:
        return True
    return False
