"""What these tests have in common. The fault proxy is imported here alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest

from sessionstore.core.flow import Command, Flow, arun, run
from sessionstore.stores.memcached import MemcachedStore
from sessionstore.stores.url import open_store
from sessionstore.testing import FaultProxy
from tests.support.memcached_servers import MemcachedServer

T = TypeVar("T")

__all__ = ["PROTOCOLS", "READY", "Bystander", "FaultProxy", "Runner"]

PROTOCOLS = pytest.mark.parametrize("protocol", ["meta", "binary"])
READY = 10
"""Seconds for what takes milliseconds on a machine that is not busy."""


def memcached(url: str, **options: Any) -> MemcachedStore:
    """``open_store``, for the type checker."""
    store = open_store(url, **options)
    assert isinstance(store, MemcachedStore)
    return store


class Runner:
    """Runs flows one after the other on one connection, sync or on one event loop."""

    def __init__(self, store: MemcachedStore, how: str) -> None:
        self.store = store
        self._loop = asyncio.new_event_loop() if how == "async" else None

    def __call__(self, flow: Flow[T], seconds: float | None = None) -> T:
        deadline = time.monotonic() + (self.store.timeout if seconds is None else seconds)
        if self._loop is None:
            return run(flow, lambda command: self.store.execute(command, deadline))

        async def execute(command: Command[Any]) -> Any:
            return await self.store.aexecute(command, deadline)

        return self._loop.run_until_complete(arun(flow, execute))

    def idle(self) -> None:
        """Let the event loop, if there is one, notice what has happened."""
        if self._loop is not None:
            self._loop.run_until_complete(asyncio.sleep(0.01))

    def close(self) -> None:
        """Close the store, and the loop."""
        if self._loop is not None:
            self._loop.run_until_complete(self.store.aclose())
            self._loop.close()
        self.store.close()


MakeRunner = Callable[..., Runner]


@pytest.fixture
def running(prefix: str) -> Iterator[MakeRunner]:
    """``running(url, how, **options)``: a runner that is closed at the end of the test."""
    with ExitStack() as stack:

        def make(url: str, how: str, **options: Any) -> Runner:
            runner = Runner(memcached(url, **{"prefix": prefix, **options}), how)
            stack.callback(runner.close)
            return runner

        yield make


Bystander = Callable[[MemcachedServer], FaultProxy]


@pytest.fixture
def between() -> Iterator[Bystander]:
    """``between(server)``: a proxy in front of it."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(FaultProxy(server.address))
