"""What watches every test here for leaks finds them: each way out has one planted."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sessionstore.core.opening import Opening
from sessionstore.core.session import Session
from sessionstore.core.state import State
from sessionstore.core.token import Token
from tests.support.calling import COOKIE
from tests.support.leaks import Leaks, watched
from tests.support.sites import Site, begun

pytestmark = pytest.mark.once

LOGGER = logging.getLogger("any")

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
def nothing_leaks() -> None:
    """Here something does."""


def after_load(patch: pytest.MonkeyPatch, leak: Callable[[State], Any]) -> None:
    load = Opening.load

    def leaking(self: Any, state: State, now: float) -> Any:
        yield from load(self, state, now)
        leak(state)

    patch.setattr(Opening, "load", leaking)


def fail(text: str) -> None:
    raise RuntimeError(text)


def text_of(state: State) -> str:
    assert state.token is not None
    return state.token.text


PLANTS: dict[str, Callable[[State], Any]] = {
    "logged": lambda state: LOGGER.debug("loaded %s", text_of(state)),
    "in an argument": lambda state: LOGGER.debug("loaded %.5s", text_of(state)),
    "in an extra": lambda state: LOGGER.info("loaded", extra={"of": text_of(state)}),
    "raw": lambda state: LOGGER.info("loaded %r", state.token and state.token.secret),
    "in hex": lambda state: LOGGER.info("%s", state.token and state.token.secret.hex()),
    "only the signature": lambda state: LOGGER.info(text_of(state)[-43:]),
    "a value": lambda state: LOGGER.info("%s", state.baseline),
    "printed": lambda state: sys.stdout.write(text_of(state)),
    "in a traceback": lambda state: fail(text_of(state)),
}


@pytest.mark.parametrize("leak", PLANTS.values(), ids=list(PLANTS))
@pytest.mark.parametrize("make_site", ["flask"], indirect=True)
def test_a_leak_while_loading_is_found(
    site: Site,
    leak: Callable[[State], Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    browser = begun(site)
    after_load(monkeypatch, leak)
    with pytest.raises(AssertionError, match=r"^a (token's|value)"), watched(capfd):
        browser.get(lambda session: session.get("a"))


def in_a_repr(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Token, "__repr__", tuple.__repr__)


def values_in_a_repr(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Session, "__repr__", lambda self: repr(self.copy()))


@pytest.mark.parametrize("plant", [in_a_repr, values_in_a_repr])
@pytest.mark.parametrize("make_site", ["flask", "starlette"], indirect=True)
def test_a_leak_in_a_repr_is_found(
    site: Site, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = begun(site)
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=r"^a (token's|value)"), watched():
        browser.get(lambda session: session.get("m"))


@pytest.mark.parametrize("place", ["headers", "body"])
def test_a_leak_in_an_answer_is_found(site: Site, place: str) -> None:
    browser = begun(site)
    answer = browser.get()
    text = browser.cookie or ""
    if place == "headers":
        answer.headers.append(("X-Debug", text))
    else:
        answer.body = text.encode()
    leaks = Leaks()
    leaks.saw(site, f"{COOKIE}={text}".encode(), answer)
    with pytest.raises(AssertionError, match=r"^a token's"):
        leaks.check()


def test_a_key_is_found(site: Site) -> None:
    with pytest.raises(AssertionError, match=r"^a key"), watched():
        site.request(lambda session: LOGGER.info("signed with %s", site.secret))


def test_nothing_is_found_where_nothing_leaks(site: Site) -> None:
    with watched():
        begun(site).do(lambda session: session.login("ann"))
