"""What a benchmark's figures amount to. The benchmark itself runs by ``make bench`` alone."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import data
from benchmarks.calling import COUNTED
from benchmarks.goals import Goal, goals
from benchmarks.parts import PARTS
from benchmarks.report.misses import WHY
from benchmarks.report.tables import markdown, tables
from benchmarks.sites import BASE, OURS, SITES
from benchmarks.statistics import Spread, added, quantile, ratio

pytestmark = pytest.mark.once


@pytest.mark.parametrize("size", [200, 600, 4096, 65536])
def test_a_session_is_as_large_as_it_says(size: int) -> None:
    assert data.encoded(data.session(size)) == size
    assert data.session(size) == data.session(size)


@pytest.mark.parametrize("count", [2, 8, 64])
def test_it_has_as_many_attributes_as_it_says(count: int) -> None:
    values = data.attributes(count, 2048)
    assert len(values) == count
    if count > 2:
        assert abs(data.encoded(values) - 2048) <= count


def test_quantiles() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([0.0, 10.0], 0.25) == 2.5
    assert Spread.of([5.0]) == Spread(5.0, 5.0, 5.0)


def test_a_ratio_is_that_of_the_medians_of_what_was_added() -> None:
    base, ours, theirs = [10.0, 20.0, 10.0], [20.0, 30.0, 21.0], [30.0, 40.0, 30.0]
    found = ratio(added(ours, base), added(theirs, base))
    assert found is not None
    assert found.median == 0.5
    assert found.low <= found.median <= found.high


def test_a_round_in_which_nothing_seems_to_be_added_is_no_ratio() -> None:
    found = ratio([1.0, 1.0, 1.0], [2.0, 2.0, -1.0])
    assert found is not None and found.median == 0.5
    assert ratio([1.0, 1.0, 1.0], [-2.0, 0.0, 1.0]) is None


@pytest.mark.parametrize(
    ("sign", "value", "verdict"),
    [
        ("at most", 1.0, "met"),
        ("at most", 1.01, "not met"),
        ("at least", 1.0, "met"),
        ("at least", 0.99, "not met"),
        ("exactly", 1.0, "met"),
        ("exactly", 2.0, "not met"),
    ],
)
def test_verdicts(sign: str, value: float, verdict: str) -> None:
    goal = Goal("a goal", sign, 1.0, "x", Spread(value, value - 0.1, value + 0.1))
    assert goal.verdict == verdict
    assert goal.is_close == (abs(value - 1.0) < 0.1)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {goal.verdict for goal in goals({})} == {"not measured"}


def test_whatever_is_measured_in_time_or_weight_has_a_reason_to_give() -> None:
    exact = ("store commands", "memory beyond its payload")
    for goal in goals({}):
        wanted = not any(part in goal.what for part in exact)
        assert any(why.part in goal.what for why in WHY) is wanted, goal.what


def made_up() -> dict[str, Any]:
    """Requests: sessionstore adds half of what the others add, and asks its store nothing."""
    kinds = ("anonymous", "untouched", "read", "write", "rotate")
    sites = {}
    for name, site in SITES.items():
        wall = 10.0 if site.session == BASE else 15.0 if OURS in site.session else 20.0
        figures = {"wall": [wall, wall], "cpu": [wall, wall], "commands": {}}
        sites[name] = dict.fromkeys(kinds, figures) | {"counted": {kind: {} for kind in COUNTED}}
    return {"requests": {"sites": sites, "round trip": {"wall": [5.0]}}}


def test_goals_are_judged_by_what_was_added() -> None:
    found = {goal.what: goal for goal in goals(made_up())}
    share = found["Flask: added time, write, of Flask's cookie session's"]
    assert share.found == Spread(0.5, 0.5, 0.5)
    assert share.verdict == "met"
    assert found["Flask: added time, read, of Flask-Session, Redis's"].verdict == "not met"
    assert found["Flask: store commands, anonymous"].verdict == "met"
    assert found["Flask: store commands, read"].verdict == "not met"


def test_tables_show_what_was_measured_and_nothing_else() -> None:
    shown = [table.title for table in tables(made_up())]
    assert shown[0] == "Goals"
    assert len(shown) == 4  # and one for each framework
    for table in tables(made_up()):
        lines = markdown(table).splitlines()
        assert len({line.count(" | ") for line in lines if line.startswith("|")}) == 1


def test_each_part_can_be_run() -> None:
    for name in PARTS:
        assert __import__(f"benchmarks.parts.{name}", fromlist=["run"]).run
