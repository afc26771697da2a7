"""What a scenario is: servers, a fault, and what must not be lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.figures import Window

PREFIX: Final = "drill"
"""Of the store's keys."""


@dataclass
class Story:
    """What happened, and when.

    :param tell: shows a line, at once
    """

    tell: Callable[[str], None]
    fault: float | None = None
    promoted: float | None = None
    events: list[tuple[float, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something happened."""
        self.events.append((time.monotonic(), text))
        self.tell(text)

    def strikes(self, text: str) -> None:
        """The fault begins now."""
        self.fault = time.monotonic()
        self.note(text)

    def is_over(self, text: str) -> None:
        """There is a server again that takes everything."""
        self.promoted = time.monotonic()
        assert self.fault is not None
        self.note(f"{text}, {self.promoted - self.fault:.2f} s after the fault")

    @property
    def window(self) -> Window | None:
        """When errors are excused; None: never."""
        if self.fault is None:
            return None
        return Window(self.fault, self.promoted or float("inf"))


@dataclass(frozen=True)
class Keeps:
    """What must not be lost, beside that nobody may see anybody else."""

    logins: bool = False
    logouts: bool = False
    writes: bool = False


NOTHING: Final = Keeps()
LOGINS: Final = Keeps(logins=True, logouts=True)
EVERYTHING: Final = Keeps(logins=True, logouts=True, writes=True)


@dataclass(frozen=True)
class Scenario:
    """One drill.

    :param servers: starts them
    :param fault: strikes; blocks until all is as it should be in the end
    :param options: of the store, as in its URL
    :param page: of the documentation, which shows the figures
    """

    name: str
    title: str
    servers: Callable[[], AbstractContextManager[Any]]
    fault: Callable[[Any, Story], None]
    keeps: Keeps = EVERYTHING
    options: Mapping[str, str] = field(default_factory=dict)
    page: str = "redis"

    @property
    def setting(self) -> str:
        """The options, for tables."""
        return ", ".join(f"{name}={value}" for name, value in self.options.items()) or "\N{EN DASH}"
