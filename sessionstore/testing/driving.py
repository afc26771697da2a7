"""Running flows in tests: by ``execute`` and threads, or by ``aexecute`` and tasks."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from sessionstore.core.flow import Flow, arun, run
from sessionstore.stores.base import Store

T = TypeVar("T")
PATIENCE = 20.0
"""Seconds: the deadline of every command of the contract. Long, because a machine that runs tests
is busy; what must end early is tested with deadlines of its own."""


def value(revision: int, body: bytes = b"") -> bytes:
    """A value as stores get it: 1 byte of format, 12 bytes of revision, and the rest."""
    return b"\x01" + revision.to_bytes(12, "big") + body


class Drive(ABC):
    """Runs flows against one store: ``drive(store.load(key))``."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @abstractmethod
    def __call__(self, flow: Flow[T]) -> T:
        """Run one flow."""

    @abstractmethod
    def together(self, flows: list[Flow[T]]) -> list[T]:
        """Run several at once; results in their order."""

    def until(self, flow: Callable[[], Flow[T]], accept: Callable[[T], bool]) -> T:
        """Run a flow again and again until its result is accepted; fails after ``PATIENCE``."""
        deadline = time.monotonic() + PATIENCE
        while not accept(result := self(flow())):
            assert time.monotonic() < deadline, f"still {result!r} after {PATIENCE} s"
        return result


class Blocking(Drive):
    """By ``execute``."""

    def __call__(self, flow: Flow[T]) -> T:
        deadline = time.monotonic() + PATIENCE
        return run(flow, lambda command: self.store.execute(command, deadline))

    def together(self, flows: list[Flow[T]]) -> list[T]:
        with ThreadPoolExecutor(len(flows)) as threads:
            return list(threads.map(self, flows))


class Asynchronous(Drive):
    """By ``aexecute``, in one event loop."""

    def __init__(self, store: Store, runner: asyncio.Runner) -> None:
        super().__init__(store)
        self.runner = runner

    def __call__(self, flow: Flow[T]) -> T:
        return self.runner.run(self.run(flow))

    def together(self, flows: list[Flow[T]]) -> list[T]:
        async def gather() -> list[T]:
            return await asyncio.gather(*map(self.run, flows))

        return self.runner.run(gather())

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow in the running loop."""
        deadline = time.monotonic() + PATIENCE

        async def execute(command: Any) -> Any:
            return await self.store.aexecute(command, deadline)

        return await arun(flow, execute)


@contextmanager
def driving(store: Store, how: str) -> Iterator[Drive]:
    """A driver, ``"sync"`` or ``"async"``."""
    if how == "sync":
        yield Blocking(store)
        return
    with asyncio.Runner() as runner:
        yield Asynchronous(store, runner)
        runner.run(store.aclose())
