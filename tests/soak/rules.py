"""What each session's history must not show, by rules that name what is wrong.

They find less than the search for an order that explains everything, and they find it quickly and
say what it is. What the search alone rejects is ``unexplained``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.concurrency.history import History, Operation
from tests.concurrency.wing_gong import TooLong, explain, search
from tests.soak.spec import NOTHING, SessionsOverHttp

FIELD: Final = 100_000
"""A value is a number that rises, times this, plus the user's: it says whose it is."""
STATES: Final = 300_000
"""How many states the search may visit, of one session: a second or two."""
SLACK: Final = 1.0
"""Seconds. Deadlines are kept to the second, and a machine is busy."""

KINDS: Final = (
    "lost writes",
    "zombies",
    "cross-user",
    "logged out",
    "lived on",
    "ended early",
    "unexplained",
    "undecided",
)
"""Of findings. ``lived on``, ``ended early``: after, before an idle timeout. ``undecided``: the
search was given up."""


@dataclass
class Judgement:
    """What came of judging a history.

    :param sessions: how many were judged
    :param counts: of findings, by kind
    """

    sessions: int = 0
    operations: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def find(self, kind: str, handle: str, what: str) -> None:
        """Count it, and keep the story of the first hundred."""
        self.counts[kind] += 1
        if len(self.findings) < 100:
            self.findings.append(f"{kind}: {handle}: {what}")


def judge(history: History, owners: Mapping[str, int]) -> Judgement:
    """Every session.

    :param owners: whose each session is
    """
    judgement = Judgement()
    for handle, operations in history.parts().items():
        judgement.sessions += 1
        judgement.operations += len(operations)
        before = judgement.counts.total()
        for rule in (_zombies, _lost_writes, _strangers, _logged_out, _deadlines):
            for kind, what in rule(operations, owners.get(handle)):
                judgement.find(kind, handle, what)
        if judgement.counts.total() == before:
            _search(judgement, handle, operations)
    return judgement


def _search(judgement: Judgement, handle: str, operations: list[Operation]) -> None:
    try:
        verdict = search(operations, SessionsOverHttp(), STATES)
    except TooLong as error:
        judgement.find("undecided", handle, str(error))
        return
    if verdict.order is None:
        judgement.find("unexplained", handle, explain(handle, operations, verdict))


Findings = Iterable[tuple[str, str]]


def _zombies(operations: Sequence[Operation], owner: int | None) -> Findings:
    """Shown after an acknowledged logout, or to a token from before an acknowledged login."""
    ended = min((each.returned for each in operations if each.result == "logged out"), default=None)
    replaced = {
        each.arguments[0]: each.returned for each in operations if each.result == "logged in"
    }
    for each in _shown(operations):
        if ended is not None and each.invoked > ended:
            yield "zombies", f"{each.result} after its logout"
        elif each.invoked > replaced.get(each.arguments[0], each.invoked):
            yield "zombies", f"{each.result} by a token from before the login"


def _lost_writes(operations: Sequence[Operation], owner: int | None) -> Findings:
    """A value that an acknowledged later one had replaced before it was looked at."""
    writes = [each for each in operations if each.name == "write" and each.result == "saved"]
    returned = {each.arguments[2]: each.returned for each in writes}
    returned |= {
        value: each.returned
        for each in operations
        if each.name == "begin"
        for _, value in each.arguments[0]
    }
    for seen in _shown(operations):
        for name, value in seen.result[0]:
            for write in writes:
                between = returned.get(value, write.invoked) < write.invoked
                if write.arguments[1] == name and between and write.returned < seen.invoked:
                    yield "lost writes", f"{name} is {value}, and {write.arguments[2]} was stored"
                    break


def _strangers(operations: Sequence[Operation], owner: int | None) -> Findings:
    """Somebody else's value, or name."""
    for each in _shown(operations):
        attributes, flashes, subject = each.result
        values = [*(value for _, value in attributes), *flashes]
        names = [subject] if subject is not None else []
        if any(value % FIELD != owner for value in values) or any(
            name.partition(".")[0] != f"u{owner}" for name in names
        ):
            yield "cross-user", f"user {owner} sees {each.result}"


def _logged_out(operations: Sequence[Operation], owner: int | None) -> Findings:
    """Nothing was found by a token that nobody has had a reason to refuse."""
    minted = {
        _minted(each): each.invoked
        for each in operations
        if each.result in {"begun", "rotated", "logged in"}
    }
    reasons = [each for each in operations if each.name in {"rotate", "login", "logout", "expire"}]
    for each in operations:
        if each.name != "open" or each.result != NOTHING or each.arguments[0] not in minted:
            continue
        since = minted[each.arguments[0]]
        if not any(
            why.invoked < each.returned
            and why.returned > since
            and _minted(why) != each.arguments[0]
            for why in reasons
        ):
            yield "logged out", "without having asked for it"


def _minted(operation: Operation) -> Any:
    """The secret that it made, if it is of a kind that does."""
    match operation.name:
        case "begin":
            return operation.arguments[3]
        case "rotate" | "login":
            return operation.arguments[1]
    return None


def _deadlines(operations: Sequence[Operation], owner: int | None) -> Findings:
    """An idle timeout that the last write has set is kept, to within ``SLACK``."""
    for timeout in operations:
        if timeout.name != "expire" or timeout.result != "saved":
            continue
        if any(each.name != "open" and each.returned > timeout.returned for each in operations):
            continue  # somebody has written since: the other checks see to that
        own, seconds = timeout.arguments[0], timeout.arguments[1]
        opens = [each for each in operations if each.invoked > timeout.returned]
        active = timeout.returned
        for each in sorted(opens, key=lambda each: each.invoked):
            if each.result != NOTHING:
                if each.invoked > active + (seconds + SLACK) * 1e9:
                    yield "lived on", f"after an idle timeout of {seconds} s"
                active = max(active, each.returned)
            elif each.arguments[0] == own and (
                each.returned < timeout.invoked + (seconds - SLACK) * 1e9
            ):
                yield "ended early", f"in an idle timeout of {seconds} s"


def _shown(operations: Iterable[Operation]) -> list[Operation]:
    """What has shown somebody something."""
    return [each for each in operations if each.name == "open" and each.result != NOTHING]
