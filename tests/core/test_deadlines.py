"""Every open and every commit has one deadline for all its commands (DESIGN.md, section 8)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sessionstore import (
    ConflictUnresolved,
    DeadlineExceeded,
    MemoryStore,
    SessionConfig,
    SessionManager,
)
from sessionstore.core.flow import Command
from tests.core.support import KEY, token_of

pytestmark = pytest.mark.anyio


class Slow(MemoryStore):
    """Notes the deadlines it is given, and uses them up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(timeout=0.5)
        self.now = 1000.0
        self.deadlines: list[float] = []
        self.takes = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def execute(self, command: Command[Any], deadline: float) -> Any:
        self.deadlines.append(deadline)
        self.now += self.takes
        return super().execute(command, deadline)


@pytest.mark.parametrize("drive", ["sync", "async"])
async def test_every_open_and_every_commit_has_one_deadline_for_all_its_commands(
    drive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Slow(monkeypatch)
    manager = SessionManager(store, SessionConfig(secret_key=KEY))
    one, two = manager.open(None), manager.open(None)
    one["a"] = 1
    token = token_of(manager.commit(one))
    one, two = manager.open(token), manager.open(token)
    one["one"], two["two"] = 1, 2
    manager.commit(one)
    store.deadlines.clear()
    store.takes = 0.3

    # A conflict and its second try share one deadline; a third command would come too late.
    if drive == "sync":
        manager.commit(two)
    else:
        await manager.acommit(two)

    assert store.deadlines == [1000.5, 1000.5]
    assert store.now == pytest.approx(1000.6)


@pytest.mark.parametrize("drive", ["sync", "async"])
async def test_after_the_deadline_nothing_is_sent(
    drive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Slow(monkeypatch)
    manager = SessionManager(store, SessionConfig(secret_key=KEY))
    one = manager.open(None)
    one["a"] = 1
    token = token_of(manager.commit(one))
    one, two = manager.open(token), manager.open(token)
    one["one"], two["two"] = 1, 2
    manager.commit(one)
    store.deadlines.clear()
    store.takes = 0.5

    async def commit() -> None:
        if drive == "sync":
            manager.commit(two)
        else:
            await manager.acommit(two)

    with pytest.raises(ConflictUnresolved, match="until the deadline") as caught:
        await commit()

    assert isinstance(caught.value.__cause__, DeadlineExceeded)
    assert len(store.deadlines) == 1
