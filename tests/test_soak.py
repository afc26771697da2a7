"""The soak's own judgement: whatever must not be is found, and nothing else is.

And a short soak whose sites lose writes and leak: it must say so, and complain of nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.concurrency.clients import secret_of
from tests.concurrency.history import History
from tests.soak import running
from tests.soak.recording import Asked, Recorder
from tests.soak.rules import FIELD, judge
from tests.support.http_client import Reply

pytestmark = pytest.mark.once

ME = 7
SECOND = 10**9
FIRST, LATER, LATEST = (serial * FIELD + ME for serial in (1, 2, 3))


def token(number: int, handle: str = "h" * 16) -> str:
    return f"{handle}.{number:043}"


class Story:
    """One session, request after request, a second apart; ``judged`` says what was found."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.clock = 0
        self.found: dict[str, Any] | None = None
        self.ask("begin", FIRST, cookie=token(0), by=None)
        self.now(a=FIRST)

    def now(self, subject: str | None = None, **attributes: int) -> None:
        """What requests find from now on."""
        names = {name: attributes.get(name) for name in ("a", "b", "c")}
        self.found = {**names, "_flashes": None, "subject": subject}

    def ends(self) -> None:
        """Nothing is found from now on."""
        self.found = None

    def ask(
        self,
        kind: str,
        *arguments: Any,
        by: str | None = "",
        status: int = 200,
        cookie: str | None = None,
        took: float = 0.5,
    ) -> None:
        """A request that takes half a second."""
        self.clock += SECOND
        body = {}
        if status in {200, 401}:
            body = {"found": self.found, "at": self.clock + SECOND // 10}
        asked = Asked(kind, arguments, token(0) if by == "" else by)
        before = len(self.recorder.history.operations)
        self.recorder.answered(ME, asked, Reply(status, body, cookie), self.clock)
        # The recorder's clock is the machine's.
        ended = self.clock + int(took * SECOND)
        operations = self.recorder.history.operations
        for place in range(before, len(operations)):
            each = operations[place]
            if not each.is_unknown and each.name != "open":
                operations[place] = replace(each, returned=ended)

    def judged(self) -> dict[str, int]:
        return dict(judge(self.recorder.history, self.recorder.owners).counts)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_life_in_order(story: Story) -> None:
    story.ask("write", "a", LATER)
    story.now(a=LATER)
    story.ask("read")
    story.ask("rotate", cookie=token(1))
    story.ask("write", "b", LATEST, by=token(0))  # the token before is good for its grace
    story.now(a=LATER, b=LATEST)
    story.ask("login", "u7.0", by=token(1), cookie=token(2))
    story.now("u7.0", a=LATER, b=LATEST)
    story.ask("read", by=token(2))
    story.ask("logout", by=token(2), cookie="")
    story.ends()
    for number in range(3):
        story.ask("write", "a", 9 * FIELD + ME, by=token(number), status=401)
    assert story.judged() == {}


def test_a_lost_write(story: Story) -> None:
    story.ask("write", "a", LATER)
    story.ask("read")
    assert story.judged() == {"lost writes": 1}


def test_a_lost_write_of_an_attribute_that_was_not_there(story: Story) -> None:
    story.ask("write", "b", LATER)
    story.ask("read")
    assert story.judged() == {"unexplained": 1}


@pytest.mark.parametrize("status", [0, 503])
def test_a_write_of_unknown_outcome_may_be_either_but_not_both(story: Story, status: int) -> None:
    story.ask("write", "a", LATER, status=status)
    story.ask("read")
    story.now(a=LATER)
    story.ask("read")
    assert story.judged() == {}
    story.now(a=FIRST)
    story.ask("read")
    assert story.judged() == {"unexplained": 1}


def test_what_was_refused_did_not_happen(story: Story) -> None:
    story.ask("logout", cookie="")
    story.ends()
    story.ask("write", "a", LATER, status=409)
    assert story.judged() == {}


def test_a_conflict_without_a_cause(story: Story) -> None:
    story.ask("write", "a", LATER, status=409)
    story.ask("read")
    assert story.judged() == {"unexplained": 1}


def test_a_zombie(story: Story) -> None:
    story.ask("logout", cookie="")
    story.ask("read")
    assert story.judged() == {"zombies": 1}


def test_a_zombie_by_a_late_write(story: Story) -> None:
    story.ask("logout", cookie="")
    story.ask("write", "a", LATER)
    assert story.judged() == {"zombies": 1}


def test_a_token_from_before_the_login(story: Story) -> None:
    story.ask("login", "u7.0", cookie=token(1))
    story.now("u7.0", a=FIRST)
    story.ask("read", by=token(0))
    assert story.judged() == {"zombies": 1}


def test_after_a_logout_of_unknown_outcome_nothing_is_certain(story: Story) -> None:
    story.ask("logout", status=503, cookie="")
    story.ask("read")
    story.ends()
    story.ask("read")
    assert story.judged() == {}


@pytest.mark.parametrize("found", [{"b": 5 * FIELD + 8}, {"subject": "u8.0"}])
def test_somebody_else(story: Story, found: dict[str, Any]) -> None:
    story.now(**{"a": FIRST, **found})
    story.ask("read")
    assert story.judged() == {"cross-user": 1}


def test_a_logout_that_nobody_has_asked_for(story: Story) -> None:
    story.ends()
    story.ask("read")
    assert story.judged() == {"logged out": 1}


def test_a_login_that_is_gone(story: Story) -> None:
    story.ask("login", "u7.0", cookie=token(1))
    story.ends()
    story.ask("read", by=token(1))
    assert story.judged() == {"logged out": 1}


def test_a_login_of_unknown_outcome_excuses_what_follows(story: Story) -> None:
    story.ask("login", "u7.0", status=0)
    story.ends()
    story.ask("read")
    assert story.judged() == {}


def test_a_login_in_a_session_that_has_ended_begins_another(story: Story) -> None:
    other = token(1, "o" * 16)
    story.ask("logout", cookie="")
    story.ask("login", "u7.0", cookie=other)  # it was found before it ended
    story.now("u7.0")
    story.ask("read", by=other)
    story.ends()
    story.ask("read", by=other)
    assert story.judged() == {"zombies": 1, "logged out": 1}, "found after its logout"


def test_an_idle_timeout(story: Story) -> None:
    story.ask("expire", 3)
    story.ask("read")
    story.ends()
    story.clock += 4 * SECOND
    story.ask("read")
    assert story.judged() == {}


def test_an_idle_timeout_that_is_not_kept(story: Story) -> None:
    story.ask("expire", 3)
    story.clock += 4 * SECOND
    story.ask("read")
    assert story.judged() == {"lived on": 1}


def test_an_idle_timeout_that_comes_early(story: Story) -> None:
    story.ask("expire", 3)
    story.ends()
    story.ask("read")
    assert story.judged() == {"ended early": 1}


def test_a_rotation_that_the_loser_is_not_told_of(story: Story) -> None:
    story.ask("rotate")
    story.ask("read")
    assert story.judged() == {}


def test_a_cookie_beside_an_error_is_for_what_is_stored(story: Story) -> None:
    story.ask("login", "u7.0", status=503, cookie=token(1))
    story.now("u7.0", a=FIRST)
    story.ask("read", by=token(1))
    story.ask("read", by=token(0))
    assert story.judged() == {"zombies": 1}


def test_the_secret_is_not_in_the_history(story: Story) -> None:
    assert secret_of(token(0)) in repr(story.recorder.history.operations)
    assert token(0)[17:] not in repr(story.recorder.history.operations)


def test_an_empty_history_is_in_order() -> None:
    assert judge(History(), {}).counts == {}


# -- all of it --


def test_a_site_that_loses_writes_and_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOAK_PLANT", "writes,descriptors,objects")
    settings = running.Settings(
        seconds=10, rate=50, seed=1, gap=(0.1, 0.2), sites=("Flask", "Starlette")
    )
    told: list[str] = []
    result = running.run("redis", settings, told.append, lambda load: None)
    found = {miss.split(": ")[-1].split(" ")[0] for miss in result["misses"]}
    assert result["lost writes"] + result["unexplained"] > 0, result["misses"]
    assert {"descriptors", "blocks"} <= found, result["misses"]
    assert not result["zombies"] + result["cross-user"] + result["strange"], result["findings"]
    assert result["faults"] > 0
    assert told
