"""The timeouts of NIST SP 800-63B-4 as profiles, sections 2.1.3, 2.2.3, 2.3.3 and 5.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore import ConfigurationError, Session, SessionConfig
from sessionstore.core.state import Lifetime, Status
from tests.core.support import DAY, HOUR, KEY, MINUTE, NOW, World, status, token_of

PROFILES = {"aal1": SessionConfig.aal1, "aal2": SessionConfig.aal2, "aal3": SessionConfig.aal3}
OVERALL = {"aal1": 30 * DAY, "aal2": 24 * HOUR, "aal3": 12 * HOUR}
IDLE = {"aal1": 30 * DAY, "aal2": HOUR, "aal3": 15 * MINUTE}
LEVELS = list(PROFILES)


def profile(level: str, **settings: Any) -> SessionConfig:
    make: Callable[..., SessionConfig] = PROFILES[level]
    return make(secret_key=KEY, **settings)


def look(session: Session) -> None:
    session.get("anything")


def write(session: Session) -> None:
    session["seen"] = 1


def wish(**wishes: Any) -> Callable[[Session], None]:
    """What an adapter does with an application's own wish for a lifetime."""

    def action(session: Session) -> None:
        session["seen"] = 1
        session.state.lifetime = Lifetime(**wishes)

    return action


@pytest.mark.parametrize("level", LEVELS)
def test_a_profile_has_the_standards_timeouts(level: str) -> None:
    config = profile(level)
    assert config.assurance == level
    # AAL1 wants no idle timeout: there the usual one stays.
    assert config.idle_timeout == min(IDLE[level], 14 * DAY)
    assert config.absolute_for(config.idle_timeout) == OVERALL[level]


def test_the_keyword_is_the_profile() -> None:
    assert SessionConfig(secret_key=KEY, assurance="aal2") == profile("aal2")


def test_a_profile_takes_every_other_setting() -> None:
    assert profile("aal3", max_size=7, touch_interval=60).max_size == 7


@pytest.mark.parametrize("level", LEVELS)
def test_a_site_may_be_stricter_than_its_level(level: str) -> None:
    config = profile(level, idle_timeout=300, absolute_timeout=3600)
    assert config.idle_timeout == 300
    assert config.absolute_for(300) == 3600
    assert profile(level, idle_timeout=IDLE[level], absolute_timeout=OVERALL[level])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["idle_timeout", "absolute_timeout"])
def test_a_site_is_never_laxer_than_its_level(level: str, name: str) -> None:
    most = (IDLE if name == "idle_timeout" else OVERALL)[level]
    for seconds in (most + 1, float("inf")):
        with pytest.raises(ConfigurationError, match=rf"{name}=.*{level} has at most {most:.0f}"):
            profile(level, **{name: seconds})


@pytest.mark.parametrize("level", ["AAL2", "aal4", "", 2])
def test_an_unknown_level_is_an_error(level: Any) -> None:
    with pytest.raises(ConfigurationError, match="use 'aal1', 'aal2', 'aal3' or None"):
        SessionConfig(secret_key=KEY, assurance=level)


@pytest.mark.parametrize("level", LEVELS)
def test_no_activity_moves_the_overall_deadline(level: str) -> None:
    world = World(assurance=level)
    token = world.begin(login=1)
    step = IDLE[level] / 4
    while world.clock.now + step < NOW + OVERALL[level]:
        world.clock.advance(step)
        world.request(token, write)
        assert world.open(token).subject == "1"
    world.clock.now = NOW + OVERALL[level] + 0.001
    assert status(world.open(token)) is Status.NEW


@pytest.mark.parametrize("level", ["aal2", "aal3"])
@pytest.mark.parametrize("interval", [None, 60])
def test_what_is_not_recorded_ends_a_session_earlier_never_later(
    level: str, interval: float | None
) -> None:
    world = World(assurance=level, touch_interval=interval)
    unrecorded = (IDLE[level] / 10 if interval is None else interval) - 0.001
    token = world.begin(login=1)
    world.clock.advance(unrecorded)
    world.request(token, look)  # activity that is not written down
    assert world.stored(token).touched == NOW
    world.clock.now = NOW + IDLE[level]
    assert status(world.open(token)) is Status.NEW


@pytest.mark.parametrize("level", ["aal2", "aal3"])
def test_recorded_activity_and_nothing_else_resets_the_idle_timeout(level: str) -> None:
    world = World(assurance=level)
    token = world.begin(login=1)
    world.clock.advance(IDLE[level] / 2)
    world.request(token, lambda session: None)  # its session is not looked at
    assert world.stored(token).touched == NOW
    world.request(token, look)
    world.clock.advance(IDLE[level] - 0.001)
    assert world.open(token).subject == "1"
    world.clock.advance(0.001)
    assert status(world.open(token)) is Status.NEW


@pytest.mark.parametrize("level", LEVELS)
def test_authenticating_again_resets_both_and_a_step_up_neither(level: str) -> None:
    world = World(assurance=level)
    token = world.begin(login=1)
    world.clock.advance(IDLE[level] / 4)
    token = token_of(world.request(token, lambda session: session.rotate()))
    assert world.stored(token).absolute == NOW + OVERALL[level]
    token = token_of(world.request(token, lambda session: session.login(1)))
    again = world.clock.now
    assert world.stored(token).absolute == again + OVERALL[level]
    assert world.stored(token).touched == again


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "wishes",
    [{"idle": 90 * DAY}, {"idle": float("inf")}, {"idle": 90 * DAY, "absolute": NOW + 90 * DAY}],
    ids=["seconds", "for ever", "a moment"],
)
def test_no_wish_of_the_application_goes_beyond_the_level(
    level: str, wishes: dict[str, float]
) -> None:
    world = World(assurance=level)
    begun = token_of(world.request(None, wish(**wishes)))
    later = world.begin(login=1)
    world.clock.advance(60)
    world.request(later, wish(**wishes))
    again = token_of(world.request(later, lambda s: (s.login(2), wish(**wishes)(s))))
    for token, since in ((begun, NOW), (again, NOW + 60)):
        record = world.stored(token)
        assert (record.idle, record.absolute) == (IDLE[level], since + OVERALL[level])


def test_without_a_level_a_moment_is_what_the_application_gets() -> None:
    world = World(absolute_timeout=DAY)
    token = token_of(world.request(None, wish(idle=90 * DAY, absolute=NOW + 90 * DAY)))
    assert world.stored(token).absolute == NOW + 90 * DAY


@pytest.mark.parametrize("level", LEVELS)
def test_sessions_of_before_or_from_elsewhere_are_held_to_it_too(level: str) -> None:
    world = World()
    lax = token_of(world.request(None, wish(idle=90 * DAY, absolute=NOW + 90 * DAY)))
    server = world.server(assurance=level)
    world.clock.advance(IDLE[level] - 1)
    session = server.open(lax)
    assert status(session) is Status.LOADED
    session["more"] = 1
    cookie = server.commit(session)
    assert cookie is not None and cookie.max_age is not None
    assert cookie.max_age <= min(IDLE[level], OVERALL[level])
    record = world.stored(lax)
    assert (record.idle, record.absolute) == (IDLE[level], NOW + OVERALL[level])


@pytest.mark.parametrize("level", ["aal2", "aal3"])
def test_one_of_before_that_was_idle_too_long_has_ended_here(level: str) -> None:
    world = World()
    lax = token_of(world.request(None, wish(idle=90 * DAY, absolute=NOW + 90 * DAY)))
    world.clock.advance(IDLE[level])
    assert status(world.server(assurance=level).open(lax)) is Status.NEW
    assert status(world.open(lax)) is Status.LOADED


def test_a_conflict_with_a_laxer_server_is_held_to_it_too() -> None:
    world = World()
    token = world.begin(login=1)
    strict = world.server(assurance="aal3")
    session = strict.open(token)
    session["ours"] = 1
    world.request(token, write)
    strict.commit(session)
    record = world.stored(token)
    assert (record.idle, record.absolute) == (IDLE["aal3"], NOW + OVERALL["aal3"])
    assert record.attributes.keys() >= {"ours", "seen"}
