"""The drill's own arithmetic; and that it finds the losses of a server that keeps nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.drill import report, running, scenarios
from tests.drill.ledger import FIELD, Outcome, Seen, Tally, User
from tests.drill.scenario import Scenario, Story
from tests.support import figures
from tests.support.figures import Sample, Window
from tests.support.pages import put_into

pytestmark = pytest.mark.once

DONE, REFUSED, UNKNOWN = Outcome


class Told(User):
    """Somebody who has logged in and written once; the cookie is ``"c1"``."""

    def __init__(self) -> None:
        super().__init__(7, Tally())
        self.first = self.next_value()
        self.begin_login()
        self.log_in(self.first, DONE, Seen(), "c1")
        assert self.wrote(DONE) == self.last

    def wrote(self, outcome: Outcome, seen: Seen | None = None) -> int:
        value = self.next_value()
        self.write(value, outcome, seen)
        self.last = value
        return value

    def sees(self, value: int | None, user: str | None = "") -> None:
        self.read(DONE, Seen(self.name if user == "" else user, value))


@pytest.fixture
def user() -> Told:
    return Told()


def broken(user: User) -> dict[str, int]:
    """What the tally has that is not 0."""
    return {
        name: count for name, count in vars(user.tally).items() if isinstance(count, int) and count
    }


def test_what_was_acknowledged_and_is_there(user: Told) -> None:
    user.sees(user.last)
    user.read(UNKNOWN, Seen())
    assert broken(user) == {}
    assert user.last == 2 * FIELD + 7


def test_an_acknowledged_write_that_is_gone(user: Told) -> None:
    user.wrote(DONE, Seen(user.name, user.last))
    user.sees(user.first)
    assert broken(user) == {"lost_writes": 2}
    user.sees(user.first)
    assert broken(user) == {"lost_writes": 2}, "it is counted once"
    user.sees(user.wrote(DONE))
    assert broken(user) == {"lost_writes": 2}


def test_a_loss_shows_in_the_answer_to_the_next_write(user: Told) -> None:
    """Which hides it from every read that comes later."""
    user.wrote(DONE, Seen(user.name, user.first))
    assert broken(user) == {"lost_writes": 1}
    user.sees(user.last)
    assert broken(user) == {"lost_writes": 1}


@pytest.mark.parametrize("happened", [True, False])
def test_an_unknown_outcome_is_either(user: Told, happened: bool) -> None:
    before = user.last
    perhaps = user.wrote(UNKNOWN)
    user.sees(perhaps if happened else before)
    assert broken(user) == {}


def test_an_unknown_outcome_may_happen_late_but_not_be_undone(user: Told) -> None:
    before, perhaps = user.last, user.wrote(UNKNOWN)
    user.sees(before)
    user.sees(perhaps)
    assert broken(user) == {}
    user.sees(before)
    assert broken(user) == {"went_back": 1}, "nobody was promised it"


def test_an_unknown_outcome_cannot_happen_after_a_later_acknowledged_one(user: Told) -> None:
    perhaps = user.wrote(UNKNOWN)
    user.wrote(DONE)
    user.sees(perhaps)
    assert broken(user) == {"lost_writes": 1}


def test_several_unknown_outcomes_excuse_only_themselves(user: Told) -> None:
    first, before = user.first, user.last
    perhaps = [user.wrote(UNKNOWN) for _ in range(3)]
    user.sees(perhaps[1])
    assert broken(user) == {}
    user.sees(first)
    assert broken(user) == {"lost_writes": 1}
    assert str(before) in user.tally.findings[0]


def test_a_refused_write_did_not_happen(user: Told) -> None:
    before = user.last
    refused = user.wrote(REFUSED)
    user.sees(before)
    assert broken(user) == {}
    user.sees(refused)
    assert broken(user) == {"lost_writes": 1}, "it was said not to have happened"


@pytest.mark.parametrize(
    "notice",
    [
        lambda user: user.sees(None, None),
        lambda user: user.wrote(REFUSED, Seen()),
        lambda user: user.log_out(REFUSED, Seen()),
        lambda user: user.keep(""),
    ],
    ids=["read", "write", "logout", "cookie"],
)
def test_a_login_that_is_gone(user: Told, notice: Callable[[Told], None]) -> None:
    notice(user)
    assert broken(user) == {"lost_logins": 1}
    assert not user.logged_in
    assert user.cookie is None


def test_a_login_of_unknown_outcome_is_given_up() -> None:
    user = User(3, Tally())
    user.visited(DONE, "c0")
    user.begin_login()
    user.log_in(user.next_value(), UNKNOWN, Seen(), None)
    assert (user.logged_in, user.cookie, user.ghosts, broken(user)) == (False, None, [], {})


def test_a_login_leaves_the_token_before_it_behind() -> None:
    user = User(3, Tally())
    user.visited(DONE, "c0")
    value, name = user.next_value(), user.begin_login()
    user.log_in(value, DONE, Seen(None, 1 * FIELD + 3), "c1")
    (ghost,) = user.ghosts
    user.haunt(ghost, Seen(None, value))  # as after a failover: the visitor, and nobody's login
    assert broken(user) == {}
    user.haunt(ghost, Seen(name, value))
    user.haunt(ghost, Seen(name, value))
    assert broken(user) == {"zombies": 1}


@pytest.mark.parametrize("shown", [("u7.1", None), ("u7.1", 1 * FIELD + 7), (None, 1 * FIELD + 7)])
def test_a_zombie(user: Told, shown: tuple[str | None, int | None]) -> None:
    user.log_out(DONE, Seen(user.name, user.last))
    (ghost,) = user.ghosts
    assert (ghost.cookie, ghost.ended, user.cookie) == ("c1", True, None)
    user.haunt(ghost, Seen())
    assert broken(user) == {}
    user.haunt(ghost, Seen(*shown))
    assert broken(user) == {"zombies": 1}


def test_after_a_logout_of_unknown_outcome_nothing_is_certain(user: Told) -> None:
    user.log_out(UNKNOWN, None)
    assert (user.ghosts, user.cookie, broken(user)) == ([], None, {})


@pytest.mark.parametrize(
    "shown", [("u8.1", None), (None, 5 * FIELD + 8), ("u7.1 as u8.2", None), ("None as u8.1", None)]
)
def test_somebody_else(user: Told, shown: tuple[str | None, int | None]) -> None:
    user.read(DONE, Seen(*shown))
    assert broken(user) == {"cross_user": 1}
    assert user.logged_in, "what it shows says nothing of this user's own session"
    user.log_out(DONE, None)
    user.haunt(user.ghosts[0], Seen(*shown))
    assert user.tally.cross_user == 2


def test_an_earlier_login_of_ones_own_is_a_zombie_too(user: Told) -> None:
    user.log_out(DONE, Seen(user.name, user.last))
    value, _ = user.next_value(), user.begin_login()
    user.log_in(value, DONE, Seen(), "c2")
    user.sees(value, "u7.1")
    assert broken(user) == {"zombies": 1}


# -- figures --


def sample(ended: float, status: int = 503, site: str = "a", took: float = 0.1) -> Sample:
    return Sample(site, "write", ended - took, ended, status)


def test_intervals_are_of_one_site_and_end_with_a_quiet_second() -> None:
    samples = [sample(at) for at in (10.0, 10.5, 11.25)] + [sample(20.0)]
    samples += [sample(10.25, site="b"), sample(12.0, 200, site="b"), sample(11.0, 401, site="b")]
    assert sorted(figures.intervals(samples)) == [0.0, 0.0, 1.25]
    assert figures.intervals([sample(1, 200)]) == []


def test_recovery_is_that_of_the_slowest_site() -> None:
    samples = [sample(11), sample(11.5, 200), sample(12), sample(12.5, 200), sample(13, 200)]
    assert figures.recovery(samples, 10) == 2.5
    samples += [sample(14, site="b"), sample(15, 200, site="b")]
    assert figures.recovery(samples, 10) == 5
    assert figures.recovery([*samples, sample(16, 0)], 10) is None, "it has not recovered"
    assert figures.recovery([sample(11, 200)], 10) is None


def test_the_window_excuses_what_began_within_a_second_of_the_promotion() -> None:
    window = Window(10, 12)
    assert not window.excuses(sample(9.9))
    assert window.excuses(sample(10.05))  # it was under way when the fault struck
    assert window.excuses(sample(14, took=1.1))
    assert not window.excuses(sample(14, took=0.9))


def test_median() -> None:
    assert figures.median([3, 1, 2, 4]) == 2
    assert figures.median([]) == 0


# -- goals --


def result(scenario: Scenario, *samples: Sample, **tally: int) -> report.Result:
    story = Story(lambda text: None, fault=10, promoted=12)
    settings = running.Settings()
    return report.Result(
        scenario, settings, list(samples), Tally(**tally), story, 240, 0.0, {"ASGI": ""}
    )


BY_DURABILITY = {
    scenario.options.get("durable", "0"): scenario for scenario in scenarios.SCENARIOS[:3]
}


@pytest.mark.parametrize(
    ("durable", "tally", "missed"),
    [
        ("0", {"zombies": 1, "lost_logins": 1, "lost_writes": 1}, 0),
        ("0", {"cross_user": 1}, 1),
        ("1", {"lost_writes": 1}, 0),
        ("1", {"zombies": 1, "lost_logins": 1}, 2),
        ("all", {"lost_writes": 1}, 1),
        ("all", {"went_back": 1}, 0),
    ],
)
def test_what_may_be_lost(durable: str, tally: dict[str, int], missed: int) -> None:
    assert len(result(BY_DURABILITY[durable], sample(11), **tally).misses()) == missed


@pytest.mark.parametrize(
    ("bad", "missed"),
    [
        (sample(11, 500), "no 503 by the deadline"),
        (sample(11, 0), "no 503 by the deadline"),
        (sample(12, took=1.6), "no 503 by the deadline"),
        (Sample("a", "read", 11, 12.1, 503), "no 503 by the deadline"),
        (sample(9), "outside of the fault"),
        (sample(13.5), "outside of the fault"),
    ],
)
def test_errors_have_a_form_and_a_time(bad: Sample, missed: str) -> None:
    (miss,) = result(BY_DURABILITY["0"], sample(11), bad).misses()
    assert missed in miss


def test_where_there_is_no_fault_no_error_is_excused() -> None:
    made = result(BY_DURABILITY["0"], sample(11))
    made.story.fault = made.story.promoted = None
    assert made.misses() == ["1 errors outside of the fault"]
    assert made.row()["recovery"] is None


def test_a_load_that_was_none_is_no_drill() -> None:
    made = result(BY_DURABILITY["0"])
    made.rate = 100
    assert made.misses() == ["only 100 requests/s"]


def test_the_table(tmp_path: Path) -> None:
    rows = [result(BY_DURABILITY["all"], sample(11), sample(11.5), sample(12, 200)).row()]
    text = report.markdown(rows)
    assert "| 0.50 s | 0.50 s | 2.00 s | 0.10 s | 0 | reached |" in text
    page = tmp_path / "page.md"
    page.write_text("Before.\n\n<!-- drill: begin -->\nold\n<!-- drill: end -->\n\nAfter.\n")
    put_into(page, text, "drill")
    assert page.read_text().startswith("Before.\n\n<!-- drill: begin -->\n\n| drill |")
    assert page.read_text().endswith("|\n\n<!-- drill: end -->\n\nAfter.\n")
    put_into(tmp_path / "new.md", text, "drill")
    assert (tmp_path / "new.md").read_text() == text


# -- for real --


def test_a_server_that_keeps_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill that finds no loss here would find none anywhere."""
    monkeypatch.setattr(running, "WARM_SECONDS", 2.0)
    monkeypatch.setattr(running, "AFTER_SECONDS", 1.0)
    told: list[str] = []
    settings = running.Settings(rate=100, seconds=3, margin=5)
    found: Any = running.run(scenarios.CONTROL, settings, told.append)
    assert found.tally.lost_logins > 10, told
    assert found.tally.cross_user == 0
    assert found.errors, "it was killed under load"
    assert {error.status for error in found.errors} == {503}
    assert [miss for miss in found.misses() if "lost logins" in miss]
    assert json.loads(json.dumps(found.as_json()))["findings"]
    assert any("SIGKILL" in line for line in told)
