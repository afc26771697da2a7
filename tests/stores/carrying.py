"""Running one flow against a store until a deadline, sync and async alike."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeVar

import pytest

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


class Stopwatch:
    """``with Stopwatch(limit):`` fails if it took longer than that and ``SLACK``."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.took = time.monotonic() - self._began
        assert self.took < self.limit + SLACK
