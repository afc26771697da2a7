"""One call of a verb: one command to the store, or several between which others may come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sessionstore.core.errors import StoreError
from sessionstore.core.flow import Command
from sessionstore.core.verbs import Version
from tests.model.spec import Stored

LOST = {"loses_reply", "loses_command", "held_back"}
"""Fates after which nobody can tell whether a write was executed."""


@dataclass(frozen=True)
class Effect:
    """What one command has changed in the store.

    :param kind: ``"created"``, ``"replaced"`` or ``"deleted"``
    """

    kind: str
    handle: str
    before: Stored
    after: Stored


@dataclass(eq=False)
class Call:
    """A verb that was called, and what has become of it so far.

    :param verb: of the store contract
    :param value: what is to be stored
    :param version: what is to be replaced or deleted
    :param commands: those of it that were sent, or were about to be
    :param states: what was stored before and after each of its commands, in order
    :param answered: whether it has returned
    :param short: whether it has, but with fewer copies than were asked for
    :param found: what is stored now, by what it has returned
    """

    verb: str
    value: bytes | None = None
    version: Version | None = None
    commands: list[Done] = field(default_factory=list)
    states: list[Stored] = field(default_factory=list)
    answered: bool = False
    short: bool = False
    result: Any = None
    error: StoreError | None = None
    found: Stored = None

    def returns(self, result: Any, *, short: bool = False) -> None:
        """It has come to an end."""
        self.answered, self.result, self.short = True, result, short

    @property
    def is_uncertain(self) -> bool:
        """Whether it has failed, and something of it was executed, or may have been."""
        return not self.answered and any(it.fate in LOST or it.effect for it in self.commands)

    def did(self, kind: str, after: Stored) -> bool:
        """Whether a command of it has made this change, and was answered."""
        effects = (done.effect for done in self.commands if done.answered)
        return any(it is not None and it.kind == kind and it.after == after for it in effects)


@dataclass
class Done:
    """One command of a commit: what became of it.

    :param fate: the name of its fate
    :param effect: what it changed
    :param command: what was sent
    """

    call: Call
    handle: str
    fate: str
    effect: Effect | None = None
    command: Command[Any] | None = None

    def __post_init__(self) -> None:
        self.call.commands.append(self)

    @property
    def verb(self) -> str:
        """Of the store contract."""
        return self.call.verb

    @property
    def answered(self) -> bool:
        """Whether the product got the store's own reply."""
        return self.fate == "passes"
