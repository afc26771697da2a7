"""Django in this process, on a memory store that writes down what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import override_settings

from sessionstore import MemoryStore, StoreUnavailable
from sessionstore.core.flow import Command
from tests.support import django_project

django_project.configure()


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class RecordingStore(MemoryStore):
    """Keeps the verbs that it executes; fails while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.verbs: list[str] = []
        self.down = False
        self.fails_on: set[str] = set()

    def execute(self, command: Command[Any], deadline: float) -> Any:
        verb = command.request[0]
        self.verbs.append(verb)
        if self.down or verb in self.fails_on:
            raise StoreUnavailable("down for this test")
        return super().execute(command, deadline)

    async def aexecute(self, command: Command[Any], deadline: float) -> Any:
        return self.execute(command, deadline)

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """The verbs executed in this block."""
        before = len(self.verbs)
        counted: list[str] = []
        yield counted
        counted.extend(self.verbs[before:])


@pytest.fixture(autouse=True)
def store() -> Iterator[RecordingStore]:
    """This test's store, which every session object and request of the test uses."""
    store = RecordingStore()
    with override_settings(SESSIONSTORE={"STORE": store}):
        yield store


@pytest.fixture(scope="session")
def database() -> None:
    """The tables of contrib.auth."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
