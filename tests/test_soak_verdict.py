"""The soak's own arithmetic: leaks, which errors are excused, and what is shown."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.soak import flatness, report, verdict
from tests.soak.faults import Bag, Fault, Strike
from tests.soak.inside import read_reports
from tests.soak.rules import Judgement
from tests.support.figures import Sample, Window

pytestmark = pytest.mark.once

# -- what is held --

RESTS = [(at, at + 4.0) for at in range(40, 640, 60)]


def grows(
    name: str, by: float, *, requests: int = 0, first: float = 0, at_once: int = 12
) -> flatness.Series:
    """A process that grows by so much between its second rest and its last, and is restless."""
    noise = random.Random(5)
    start, span = RESTS[1][0], RESTS[-1][0] - RESTS[1][0]
    points = [
        (at, 1000 + first * (at < start) + by * (at - start) / span + noise.choice([0, 0, 0.1, 90]))
        for at in range(640)
    ]
    served = flatness.Served(requests, at_once)
    made = flatness.series("a", 1, name, points, RESTS, flatness.BOUNDS[name], served)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("name", "little", "much", "requests"),
    [
        ("descriptors", 1, 45, 0),  # one for each fault
        ("threads", 1, 45, 0),
        ("rss", 2**20, 12 * 2**20, 0),
        ("blocks", 500, 5000, 5000),  # one for each request
    ],
)
def test_a_leak(name: str, little: float, much: float, requests: int) -> None:
    assert grows(name, 0, requests=requests).flat
    assert grows(name, little, requests=requests).flat
    leak = grows(name, much, requests=requests)
    assert not leak.flat
    assert leak.growth == pytest.approx(much, rel=0.1), "but for the noise"


def test_the_first_rest_is_for_warming_up() -> None:
    assert grows("descriptors", 0, first=-500).flat


def test_a_pool_may_fill_late() -> None:
    assert grows("threads", 9).flat
    assert not grows("threads", 9, at_once=4).flat


def test_too_few_rests_say_nothing() -> None:
    points = [(float(at), 1.0) for at in range(200)]
    bound = flatness.BOUNDS["threads"]
    assert flatness.series("a", 1, "threads", points, RESTS, bound, flatness.Served()) is None


def test_reports_of_a_process_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "12").write_text("[1.5, 100, 3]\n[2.5, 10")
    assert list(read_reports(tmp_path)) == [(12, 1.5, 100, 3)]


# -- goals --


def sample(at: float, status: int = 503, site: str = "a", took: float = 0.1) -> Sample:
    return Sample(site, "read", at - took, at, status)


def fault(name: str, *, site: str | None = None) -> Fault:
    return Fault(name, lambda draw: None, site)


STORE = Strike(fault("store: stopped"), 10, 12, Window(10, 12))
APP = Strike(fault("app: killed", site="a"), 20, 22, Window(20, 22))
SLOW = Strike(fault("network: slow"), 30, 32, None)
FLAT = flatness.Series("a", 1, "rss", 1, 1, 0, 1)


def misses(*samples: Sample, **changes: Any) -> list[str]:
    outcome = verdict.Outcome(
        "redis", 1, 60.0, verdict.Limits(), samples, [STORE, APP, SLOW], Judgement(), [FLAT]
    )
    return replace(outcome, **changes).misses()


@pytest.mark.parametrize(
    ("seen", "missed"),
    [
        (sample(11), 0),
        (sample(12.9), 0),
        (sample(11, took=1.2), 1),  # after its deadline
        (sample(14), 1),  # long after the fault
        (sample(21), 1),  # an app that is killed says nothing; it never says 503
        (sample(21, 0), 0),
        (sample(21, 0, site="b"), 1),  # the other app was not killed
        (sample(11, 0), 1),  # a store that fails is no reason to say nothing
        (sample(31), 1),  # nothing is excused by a network that is merely slow
        (sample(11, 500), 1),  # whatever happens
        (sample(5, 404), 1),
        (sample(5, 409), 0),
    ],
)
def test_errors(seen: Sample, missed: int) -> None:
    assert len(misses(seen)) == missed


def test_what_the_witness_saw_is_excused() -> None:
    """A disk that stands still is a 503, and a processor that does makes one late."""
    stall, lag = Window(14.5, 15.2), Window(10.2, 10.8)
    assert not misses(sample(15), stalls=[stall])
    assert misses(sample(15, 0), stalls=[stall])
    assert misses(sample(15, 500), stalls=[stall])
    assert not misses(sample(11, took=1.2), lags=[lag])
    assert misses(sample(11, took=1.7), lags=[lag])
    frozen = Window(11, 14.5)
    assert misses(sample(15), stalls=[frozen]), "that was the fault, and not the machine"
    assert misses(sample(14), lags=[Window(13, 14)]), "that is no reason for a 503"


def test_a_request_that_waits_for_an_app_to_start_is_not_late() -> None:
    store = replace(STORE, window=Window(20, 24))
    late = sample(23.9, took=3.0)
    assert not misses(late, strikes=[store, APP])
    assert misses(replace(late, site="b"), strikes=[store, APP])


def test_findings_and_growth_are_misses() -> None:
    judgement = Judgement()
    judgement.find("zombies", "h", "it walks")
    growing = replace(FLAT, growth=5.0)
    assert misses(judgement=judgement) == ["1 zombies"]
    assert misses(series=[growing]) == ["a 1: rss from 1 to 1, a growth of 5, and 1 are allowed"]
    assert misses(series=[]) == ["nothing was measured for long enough"]
    assert misses(limits=verdict.Limits(rate=1)) == ["only 0 requests/s"]


def test_every_fault_comes_before_any_comes_again() -> None:
    bag = Bag(random.Random(3), [fault(name) for name in "abc"])
    names = [bag.take().name for _ in range(6)]
    assert sorted(names[:3]) == sorted(names[3:]) == ["a", "b", "c"]


def test_the_tables() -> None:
    outcome = verdict.Outcome(
        "redis", 1, 60.0, verdict.Limits(), [sample(11)], [STORE], Judgement(), [FLAT]
    )
    result = json.loads(json.dumps(report.as_json(outcome, {"a": "log"})))
    text = report.markdown([result, result])
    assert "| 503 | 1 | 1 |" in text
    assert "| store: stopped | 1 | 1 |" in text
    assert "| goals | reached | reached |" in text
    assert set(report.ROWS) <= set(result)
