"""A store that fails, loses replies and lets others in between, exactly where a test says so.

It wraps a real store and counts the commands that reach it. ``script`` says what becomes of the
commands to come, each step used once and in order, beginning with the first command that it
applies to:

>>> from sessionstore import MemoryStore, SessionConfig, SessionManager, StoreUnavailable
>>> store = ScriptedStore(MemoryStore())
>>> manager = SessionManager(store, SessionConfig(secret_key="k" * 32))
>>> session = manager.open(None)
>>> session["a"] = 1
>>> store.on("create", raises(StoreUnavailable("connection refused")))
>>> manager.commit(session)
Traceback (most recent call last):
sessionstore.core.errors.StoreUnavailable: connection refused
>>> store.verbs
['create']
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sessionstore.core.errors import DeadlineExceeded, OutcomeUnknown
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.base import (
    Conflict,
    Deleted,
    Entry,
    Exists,
    Missing,
    Store,
    Version,
)

Send = Callable[[], Any]
Step = Callable[[Send], Any]
"""What becomes of one command: called with a function that carries it to the store."""


def passes(send: Send) -> Any:
    """The command goes through."""
    return send()


def raises(error: BaseException) -> Step:
    """The command never reaches the store."""

    def step(send: Send) -> Any:
        raise error

    return step


def loses_reply(send: Send) -> Any:
    """The command is executed and its reply never comes."""
    send()
    raise OutcomeUnknown("the connection was reset after the command was sent")


def loses_command(send: Send) -> Any:
    """The command is lost on its way, and nobody can tell that from a lost reply."""
    raise OutcomeUnknown("the connection was reset after the command was sent")


def exceeds_deadline(send: Send) -> Any:
    """There is no time left to send the command."""
    raise DeadlineExceeded("no answer within 0.5 s")


def after(others: Callable[[], Any], step: Step = passes) -> Step:
    """Something else happens first: another request, for example."""

    def interrupted(send: Send) -> Any:
        others()
        return step(send)

    return interrupted


def before(others: Callable[[], Any], step: Step = passes) -> Step:
    """Something else happens when the command has been executed, before its reply is read."""

    def followed(send: Send) -> Any:
        def sent() -> Any:
            reply = send()
            others()
            return reply

        return step(sent)

    return followed


def replies(reply: Any) -> Step:
    """The store answers this, whatever it holds."""
    return lambda send: reply


class ScriptedStore(Store):
    """Another store, with scripted mishaps. The same for sync and async.

    :param store: what carries out the commands that get through
    """

    def __init__(self, store: Store) -> None:
        super().__init__(prefix=store.prefix, timeout=store.timeout)
        self.store = store
        self.verbs: list[str] = []
        """The verb of each command, in the order in which they were sent."""
        self.requests: list[Any] = []
        """The requests of these commands."""
        self._steps: dict[str, list[Step]] = {}
        self._forever: dict[str, Step] = {}

    # -- the script --

    def on(self, verb: str, *steps: Step) -> None:
        """What becomes of the next commands of this verb; ``"*"``: of whichever verb."""
        self._steps.setdefault(verb, []).extend(steps)

    def always(self, verb: str, step: Step) -> None:
        """What becomes of every command of this verb (``"*"``: of all) from now on."""
        self._forever[verb] = step

    def down(self, error: BaseException) -> None:
        """Every command fails from now on."""
        self.always("*", raises(error))

    def up(self) -> None:
        """The script ends: every command goes through again."""
        self._steps.clear()
        self._forever.clear()

    @property
    def finished(self) -> bool:
        """Whether every step has been used."""
        return not any(self._steps.values())

    def forget(self) -> None:
        """Count commands anew."""
        self.verbs.clear()
        self.requests.clear()

    def _next(self, verb: str) -> Step:
        for name in (verb, "*"):
            if self._steps.get(name):
                return self._steps[name].pop(0)
        return self._forever.get(verb) or self._forever.get("*") or passes

    # -- the store --

    def reload(self, key: bytes) -> Flow[Entry | None]:
        return self._scripted("reload", self.store.reload(key))

    def load(self, key: bytes) -> Flow[Entry | None]:
        return self._scripted("load", self.store.load(key))

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        return self._scripted("create", self.store.create(key, value, ttl))

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        return self._scripted("replace", self.store.replace(key, value, ttl, version))

    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        return self._scripted("delete", self.store.delete(key, version))

    def _scripted(self, verb: Any, flow: Flow[Any]) -> Flow[Any]:
        """The same flow, each of its commands knowing the verb that it belongs to."""
        reply: Any = None
        error: Exception | None = None
        while True:
            try:
                command = flow.send(reply) if error is None else flow.throw(error)
            except StopIteration as stop:
                return stop.value
            error = None
            try:
                reply = yield Command(
                    (verb, command), command.decode, key=command.key, write=command.write
                )
            except Exception as failure:  # noqa: BLE001 (the inner flow decides)
                error = failure

    def execute(self, command: Command[Any], deadline: float) -> Any:
        verb, inner = self._note(command)
        return self._next(verb)(lambda: self.store.execute(inner, deadline))

    async def aexecute(self, command: Command[Any], deadline: float) -> Any:
        verb, inner = self._note(command)
        step = self._next(verb)
        if step is passes:
            return await self.store.aexecute(inner, deadline)
        # A step is synchronous: it gets at the store by its synchronous side.
        return step(lambda: self.store.execute(inner, deadline))

    def _note(self, command: Command[Any]) -> tuple[str, Command[Any]]:
        verb, inner = command.request
        self.verbs.append(verb)
        self.requests.append(inner.request)
        return verb, inner

    def close(self) -> None:
        self.store.close()
