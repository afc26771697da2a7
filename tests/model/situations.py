"""What a run of the model has met: a model that never gets into a race proves nothing about it."""

from __future__ import annotations

from collections.abc import Iterator

from sessionstore.core.errors import ConflictUnresolved, OutcomeUnknown, SessionGone, StoreError
from sessionstore.core.state import Status
from sessionstore.core.verbs import Missing
from tests.model.calls import Call, Done
from tests.model.commits import Commit
from tests.model.spec import Kept

EXPECTED = {
    "a merge",
    "a rotation",
    "a write under the secret before",
    "a touch",
    "a logout",
    "emptied, and deleted",
    "a lost reply, recognised",
    "a lost command, sent again",
    "an orphan",
    "a delayed write that arrives",
    "another signing key",
    "a cancelled commit",
    "written too late",
    "written to a void session",
    "a login elsewhere",
    "a logout of what was deleted",
    "nobody knows",
    "a failure",
    "a write that was dropped",
    "ended while the request ran",
}

OF_SEVERAL_COMMANDS = {
    "another writer between the commands of a verb",
    "an end between the commands of a verb",
    "a fault after some of a verb's commands",
}
"""Where a verb takes more than one: Memcached's conflicts do."""


def situations(commit: Commit, error: Exception | None) -> Iterator[str]:
    """What a commit has met."""
    if error is not None:
        yield from _failure(commit, error)
    elif commit.request.status is Status.UNAVAILABLE and commit.done:
        yield "a write that was dropped"
    for done in commit.done:
        yield from _change(commit, done)
    for call in commit.calls:
        yield from _between(commit, call)
    lost = [done for done in commit.done if done.fate in {"loses_reply", "loses_command"}]
    if lost and error is None:
        executed = lost[0].effect is not None
        yield "a lost reply, recognised" if executed else "a lost command, sent again"


def _failure(commit: Commit, error: Exception) -> Iterator[str]:
    if isinstance(error, SessionGone):
        void = commit.status is Status.VOID
        yield "written to a void session" if void else "written too late"
    elif isinstance(error, OutcomeUnknown):
        yield "nobody knows"
    elif isinstance(error, ConflictUnresolved):
        yield "conflicts until the deadline"
    elif isinstance(error, StoreError):
        yield "a failure"


def _change(commit: Commit, done: Done) -> Iterator[str]:
    effect, wanted = done.effect, commit.wanted
    if effect is None:
        return
    if isinstance(effect.before, Kept) and isinstance(effect.after, Kept):
        yield from _replaced(commit, effect.before, effect.after)
    elif isinstance(effect.before, Kept):
        if wanted.now >= effect.before.deadline:
            yield "ended while the request ran"
        else:
            yield "a logout" if wanted.destroy else "emptied, and deleted"
    elif not done.answered:
        yield "an orphan"
    elif commit.status is Status.LOADED and wanted.login:
        yield "a login elsewhere"


def _between(commit: Commit, call: Call) -> Iterator[str]:
    """What came between the commands of one verb."""
    if call.verb == "delete" and isinstance(call.result, Missing) and commit.wanted.destroy:
        yield "a logout of what was deleted"
    # What was stored after each of its commands, and before the next one.
    for after, before in zip(call.states[1::2], call.states[2::2], strict=False):
        if before != after:
            who = "an end" if before is None else "another writer"
            yield f"{who} between the commands of a verb"
    if not call.answered and len(call.commands) > 1:
        yield "a fault after some of a verb's commands"


def _replaced(commit: Commit, before: Kept, after: Kept) -> Iterator[str]:
    answered = [call for call in commit.calls if call.verb == "replace" and call.answered]
    if len(answered) > 1:
        yield "a merge"
    if before.secret != after.secret:
        yield "a rotation"
    if not commit.proves(before):
        yield "a write under the secret before"
    if not commit.wanted.writes:
        yield "a touch"
    if before.key_id != after.key_id:
        yield "another signing key"
