"""SECURITY.md section 2, rows 25 and 26: many at once, and nobody is served what is another's.

Every user's session says whose it is, and each request looks. In this process, where a request can
be ended at exactly the await that is meant; ``test_over_http.py`` has the same on real servers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionstore.stores.redis import RedisStore
from sessionstore.testing import FaultProxy
from sessionstore.testing.forwarding import Fault
from sessionstore.testing.lifecycle import forked, in_threads
from tests.adapters.conftest import SITES
from tests.planted import bugs
from tests.support.calling import run_in_thread
from tests.support.cancelling import Interrupted, cancelling, interruptible
from tests.support.servers import RedisServer
from tests.support.sites import AsyncDjangoSite, AsyncSite, Browser, Site, begun

ROOT = Path(__file__).resolve().parents[2]
EVERY = SITES | {AsyncDjangoSite.name: AsyncDjangoSite}

asynchronous = pytest.mark.parametrize("kind", ["starlette", "django-async"])
blocking = pytest.mark.parametrize("kind", ["flask", "django"])
every = pytest.mark.parametrize("kind", list(EVERY))

MakeSite = Callable[..., Site]


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.socket) as proxy:
        yield proxy


@pytest.fixture
def site(kind: str, proxy: FaultProxy, prefix: str) -> Iterator[Site]:
    """One of few connections, behind the proxy."""
    site = EVERY[kind](f"redis://{proxy.address}?prefix={prefix}&timeout=20&max_connections=4")
    with site.serving():
        yield site
    site.close()


def users(site: Site, count: int) -> list[Browser]:
    return [begun(site, name=number, visits=0) for number in range(count)]


def visit(session: Any) -> Any:
    """A load and a save; says whose session it was."""
    session["visits"] += 1
    return session["name"]


def who(session: Any) -> Any:
    return session["name"]


async def served(browsers: list[Browser]) -> list[Any]:
    """Whose session each of these has got, all at once."""
    answers = await asyncio.gather(*(browser.aget(visit) for browser in browsers))
    return [answer.result for answer in answers]


# -- 25 --


@asynchronous
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")  # Django's, of the body
@pytest.mark.parametrize("first", ["warm", "connecting"])
def test_row25_a_request_cancelled_at_every_await_leaves_its_reply_to_nobody(
    site: AsyncSite, proxy: FaultProxy, first: str
) -> None:
    victim, *others = users(site, 5)

    async def cancel_at(number: int) -> bool:
        """Whether there was such an await."""
        before = asyncio.create_task(served(others[:2]))
        with cancelling(number):
            task = asyncio.create_task(victim.aget(visit))
        after = asyncio.create_task(served(others[2:]))
        [outcome] = await asyncio.gather(task, return_exceptions=True)
        assert await served(others) == [1, 2, 3, 4]
        assert (await before, await after) == ([1, 2], [3, 4])
        assert (await victim.aget(who)).result == 0
        return isinstance(outcome, asyncio.CancelledError)

    async def cancel_at_each() -> int:
        await served(others)
        proxy.reply_latency = 0.003
        for number in range(100):
            if first == "connecting":
                await site.store.aclose()
            if not await cancel_at(number):
                return number
        raise AssertionError("it goes on for ever")

    assert run_in_thread(cancel_at_each()) >= (2 if first == "warm" else 3)
    assert isinstance(site.store, RedisStore)
    assert site.store.connections <= 1
    gc.collect()  # with that warning in mind


@blocking
@pytest.mark.parametrize(
    ("command", "fault"), [(b"GET", "slices"), (b"GET", "stalled"), (b"EVALSHA", "stalled")]
)
def test_row25_an_interrupted_worker_leaves_its_reply_to_nobody(
    site: Site, proxy: FaultProxy, command: bytes, fault: Fault
) -> None:
    """What a cancelled task is to blocking code: a worker's timeout raises out of nowhere."""
    victim, other = users(site, 2)
    proxy.matching, proxy.delay = command, 0.005
    for seconds in (0.05, 0.1):  # somewhere in the reply, or after its first half
        with interruptible() as interrupt_in:

            def action(session: Any, seconds: float = seconds) -> None:
                if command == b"EVALSHA":
                    visit(session)  # what follows is the save
                interrupt_in(seconds)
                visit(session)

            proxy.fault = fault
            with pytest.raises(Interrupted):
                victim.get(action)
        proxy.fault = ""
        assert [other.do(visit), victim.do(who), other.do(visit)] == [1, 0, 1]
    assert isinstance(site.store, RedisStore)
    assert site.store.connections == 1


# -- 26 --

ROUNDS = 5


@every
def test_row26_32_threads(site: Site) -> None:
    everybody = users(site, 32)

    def use(number: int) -> None:
        me = everybody[number]
        if isinstance(site, AsyncSite):  # each thread with a loop of its own
            assert asyncio.run(one_after_another(me)) == [number] * ROUNDS
        else:
            assert [me.do(visit) for _ in range(ROUNDS)] == [number] * ROUNDS

    in_threads(32, use)
    assert [me.do(lambda session: session["visits"]) for me in everybody] == [ROUNDS] * 32


async def one_after_another(browser: Browser) -> list[Any]:
    results = [(await browser.aget(visit)).result for _ in range(ROUNDS)]
    await browser.site.store.aclose()
    return results


@asynchronous
def test_row26_two_event_loops(site: AsyncSite) -> None:
    everybody = users(site, 16)

    async def use_all(mine: list[Browser]) -> list[Any]:
        results = [await served(mine) for _ in range(ROUNDS)]
        await site.store.aclose()
        return results

    def use(number: int) -> None:
        mine = range(number * 8, number * 8 + 8)
        assert asyncio.run(use_all(everybody[mine.start : mine.stop])) == [list(mine)] * ROUNDS

    in_threads(2, use)


@every
def test_row26_a_fork_after_the_pool_is_warm(site: Site) -> None:
    ours, theirs = users(site, 2)
    with asyncio.Runner() as runner:
        # The connection that the child must not use, on a loop of the parent's or in the pool.
        assert ask(site, ours, runner) == 0

        def in_the_child() -> None:
            with asyncio.Runner() as own:
                assert [ask(site, theirs, own) for _ in range(30)] == [1] * 30

        with forked(in_the_child) as child:
            assert [ask(site, ours, runner) for _ in range(30)] == [0] * 30
        assert child.status == 0
        assert ask(site, theirs, runner) == 1
        runner.run(site.store.aclose())


def ask(site: Site, browser: Browser, runner: asyncio.Runner) -> Any:
    return (
        runner.run(browser.aget(visit)).result if isinstance(site, AsyncSite) else browser.do(visit)
    )


@blocking
def test_row26_gevent_with_greenlets_killed_at_any_moment(
    kind: str, redis_server: RedisServer, prefix: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.adapters.greenlets", kind, redis_server.url, prefix],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["foreign"] == []
    assert report["failed"] == []
    assert report["served"] >= 32 * 5, "those whom nobody killed"
    assert report["killed"] > 20
    assert report["connections"] <= 4


# -- that this finds what it is for --


@pytest.mark.once
@pytest.mark.parametrize("kind", ["starlette"])
def test_replies_that_shift_at_a_cancelled_task_are_found(
    site: AsyncSite, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs.cancelled_connection_put_back(monkeypatch)
    with pytest.raises(AssertionError):
        test_row25_a_request_cancelled_at_every_await_leaves_its_reply_to_nobody(
            site, proxy, "warm"
        )
