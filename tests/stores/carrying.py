"""Running one flow against a store until a deadline, sync and async alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from sessionstore.core.errors import StoreUnavailable
from sessionstore.core.flow import Flow, arun, run
from sessionstore.stores.base import Store

T = TypeVar("T")

BOTH = pytest.mark.parametrize("how", ["sync", "async"])

SLACK = 1.0
"""Seconds that a busy machine may add to a deadline. Small against the 5 s, 10 s and more that
clients and servers wait by themselves."""


def carry(store: Store, how: str, flow: Flow[T], seconds: float | None = None) -> T:
    """Run a flow by the store's timeout, as the session manager does."""
    deadline = time.monotonic() + (store.timeout if seconds is None else seconds)
    if how == "sync":
        return run(flow, lambda command: store.execute(command, deadline))

    async def acarry() -> T:
        async def execute(command: Any) -> Any:
            return await store.aexecute(command, deadline)

        return await arun(flow, execute)

    return asyncio.run(acarry())


def revived(store: Store, how: str, flow: Callable[[], Flow[T]]) -> T:
    """The result of a flow, as soon as the circuit breaker has noticed that the server is back."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return carry(store, how, flow(), 10)
        except StoreUnavailable as error:
            if "not tried" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class Stopwatch:
    """``with Stopwatch(limit):`` fails if it took longer than that and ``SLACK``."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.took = time.monotonic() - self._began
        assert self.took < self.limit + SLACK
