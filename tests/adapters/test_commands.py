"""DESIGN.md section 7: how many store commands each kind of request costs, by Redis's own count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.adapters.conftest import Counting, MakeSite
from tests.support.calling import COOKIE
from tests.support.records import rewrite
from tests.support.sites import Browser, DjangoSite, Site, StarletteSite, begun

LOAD = {"get": 1}
LUA_INSIDE = {"getrange", "get", "set", "del", "exists", "pttl", "pexpire"}


def total(commands: dict[str, int], loads: int) -> int:
    """Commands that were sent: what runs inside a script is part of that script.

    :param loads: how many of the GETs were sent by themselves
    """
    scripts = commands.get("evalsha", 0) + commands.get("eval", 0)
    sent = {name: calls for name, calls in commands.items() if name not in LUA_INSIDE}
    creates = commands.get("set", 0) - scripts if not scripts else 0
    return sum(sent.values()) + loads + max(0, creates)


@pytest.fixture
def warm(site: Site) -> Site:
    """The scripts are loaded: the first EVALSHA of a fresh server costs an EVAL."""
    browser = begun(site, a=1)
    browser.do(lambda session: session.update({"a": 2}))
    browser.do(lambda session: session.logout())
    return site


def test_no_cookie_no_command(warm: Site, counting: Counting) -> None:
    with counting() as commands:
        warm.request(lambda session: session.get("a"))
    assert commands == {}


def test_junk_no_command(warm: Site, counting: Counting) -> None:
    with counting() as commands:
        warm.request(lambda session: session.get("a"), f"{COOKIE}=junk".encode())
    assert commands == {}


def test_unused_no_command_where_frameworks_load_lazily(warm: Site, counting: Counting) -> None:
    browser = begun(warm, a=1)
    with counting() as commands:
        browser.do(lambda session: None)
    # An ASGI app reads request.session synchronously, so it is loaded before the app.
    assert commands == (LOAD if warm.name == "starlette" else {})


def test_read_one(warm: Site, counting: Counting) -> None:
    browser = begun(warm, a=1)
    with counting() as commands:
        browser.do(lambda session: session["a"])
    assert commands == LOAD


def test_new_one(warm: Site, counting: Counting) -> None:
    with counting() as commands:
        begun(warm, a=1)
    assert commands == {"set": 1}


WRITES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "written": (lambda session: session.update({"a": 2}), 2),
    "changed inside": (lambda session: session["box"].append(1), 2),
    "login": (lambda session: session.login("ann"), 2),
    "rotate": (lambda session: session.rotate(), 2),
    "logout": (lambda session: session.logout(), 2),
}


@pytest.mark.parametrize(("action", "expected"), WRITES.values(), ids=list(WRITES))
def test_writes_two(
    warm: Site, counting: Counting, action: Callable[[Any], Any], expected: int
) -> None:
    browser = begun(warm, a=1, box=[])
    with counting() as commands:
        browser.do(action)
    assert commands["evalsha"] == expected - 1, commands
    assert "eval" not in commands
    assert total(commands, loads=1) == expected, commands


def test_djangos_cycle_key_writes_at_once(store_url: str, counting: Counting) -> None:
    """So a login there is three: what the login itself sets is written at the end."""

    def log_in(session: Any) -> None:
        session.cycle_key()
        session["_auth_user_id"] = "1"

    site = DjangoSite(store_url)
    try:
        browser = begun(site, a=1)
        browser.do(lambda session: session.update({"a": 2}))  # the script is loaded
        with counting() as commands:
            browser.do(log_in)
    finally:
        site.close()
    assert total(commands, loads=1) == 3, commands


def test_loading_by_hand_unused_no_command(store_url: str, counting: Counting) -> None:
    """Where an ASGI application asks for it, it costs as little as in the other two."""
    sites = [StarletteSite(store_url), StarletteSite(store_url, load="manual")]
    try:
        browser = Browser(sites[1], begun(sites[0], a=1).cookie)
        with counting() as commands:
            browser.do(lambda session: None)
    finally:
        for site in sites:
            site.close()
    assert commands == {}


def test_read_and_touch_two(
    make_site: MakeSite, warm: Site, counting: Counting, redis_client: redis.Redis, prefix: str
) -> None:
    browser = begun(make_site(touch_on_read=True), a=1)
    [key] = redis_client.scan_iter(match=f"{prefix}:*")
    rewrite(redis_client, key, lambda found: found._replace(touched=found.touched - 2 * 86400))
    with counting() as commands:
        browser.do(lambda session: session["a"])
    assert total(commands, loads=1) == 2, commands
