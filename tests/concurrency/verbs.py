"""Clients that use the verbs of a store, past the session manager, and what came of it."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Any, Final, NamedTuple

from sessionstore.core.errors import NotReplicated, OutcomeUnknown, StoreError
from sessionstore.core.flow import Command, Flow, arun, run
from sessionstore.core.verbs import Conflict, Entry, Exists, Missing, Version
from sessionstore.stores.base import REVISION, Store
from sessionstore.testing.driving import value
from sessionstore.testing.lifecycle import in_threads
from tests.concurrency.clients import Crowd
from tests.concurrency.history import History

TTL: Final = 600.0
KINDS: Final = {"load": 6, "replace": 6, "create": 4, "delete": 1, "discard": 1}
"""How often clients do what; ``discard`` deletes whatever is there."""


class Seen(NamedTuple):
    """An entry that a client has met: the number that its value has, and its version."""

    number: int
    version: Version

    @classmethod
    def of(cls, entry: Entry) -> Seen:
        """What a store has given."""
        return cls(int.from_bytes(entry.value[REVISION], "big"), entry.version)


class Step(NamedTuple):
    """One operation to carry out, and the number that is stored if it succeeds."""

    name: str
    arguments: tuple[Any, ...]
    flow: Flow[Any]
    stores: int | None = None


class Client:
    """One client: mostly it replaces what it has last seen, so that it often comes too late."""

    def __init__(self, store: Store, draw: random.Random, numbers: itertools.count[int]) -> None:
        self._store = store
        self._draw = draw
        self._numbers = numbers
        self._seen: dict[bytes, Seen] = {}

    def step(self, key: bytes) -> Step:
        """What it does next."""
        store, number = self._store, next(self._numbers)
        data = value(number, b"body")
        seen = self._seen.get(key, Seen(0, value(0)[REVISION]))
        match self._draw.choices(
            ["load", "replace", "create", "delete", "discard"], [6, 6, 4, 1, 1]
        ):
            case ["load"]:
                return Step("load", (), store.load(key))
            case ["create"]:
                return Step("create", (number,), store.create(key, data, TTL), number)
            case ["replace"]:
                flow = store.replace(key, data, TTL, seen.version)
                return Step("replace", (number, seen.number), flow, number)
            case ["delete"]:
                return Step("delete", (seen.number,), store.delete(key, seen.version))
            case _:
                return Step("delete", (None,), store.delete(key))

    def met(self, key: bytes, step: Step, result: Any) -> Any:
        """Remember what the store has answered, and give it as the specification has it."""
        if isinstance(result, Conflict | Entry):
            seen = Seen.of(result.entry if isinstance(result, Conflict) else result)
            self._seen[key] = seen
            return seen.number if isinstance(result, Entry) else ("conflict", seen.number)
        if result is None:
            return None
        if isinstance(result, Exists | Missing):
            return type(result).__name__.lower()
        if step.stores is not None:
            self._seen[key] = Seen(step.stores, result)
        return "done"


class Work:
    """What a crowd does to the keys of one store.

    :param crowd: ``slots`` says how many keys
    """

    def __init__(self, store: Store, crowd: Crowd) -> None:
        self.history = History()
        self._store = store
        self._crowd = crowd
        self._numbers = itertools.count(1)
        self._keys = [store.key(f"{crowd.seed:08x}{slot:08x}") for slot in range(crowd.slots)]

    def by_thread(self, number: int) -> None:
        """One client, as a thread."""
        draw = random.Random(f"{self._crowd.seed}/{number}")
        client = Client(self._store, draw, self._numbers)
        for _ in range(self._crowd.count):
            key = draw.choice(self._keys)
            step, began = client.step(key), time.monotonic_ns()
            deadline = time.monotonic() + self._store.timeout
            try:
                result = run(step.flow, lambda it: self._store.execute(it, deadline))  # noqa: B023
            except StoreError as error:
                self._failed(client, key, step, began, error)
            else:
                self._done(key, step, began, client.met(key, step, result))

    async def by_task(self, number: int) -> None:
        """One client, as a task that is cancelled now and then."""
        draw = random.Random(f"{self._crowd.seed}/{number}")
        client = Client(self._store, draw, self._numbers)
        for _ in range(self._crowd.count):
            key = draw.choice(self._keys)
            step, began = client.step(key), time.monotonic_ns()
            task = asyncio.ensure_future(self._carry(step.flow))
            if draw.random() < 0.1:
                for _ in range(draw.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait({task})
            if task.cancelled():
                self._failed(client, key, step, began, OutcomeUnknown("cancelled"))
            elif error := task.exception():
                self._failed(client, key, step, began, error)
            else:
                self._done(key, step, began, client.met(key, step, task.result()))

    async def _carry(self, flow: Flow[Any]) -> Any:
        deadline = time.monotonic() + self._store.timeout

        async def execute(command: Command[Any]) -> Any:
            return await self._store.aexecute(command, deadline)

        return await arun(flow, execute)

    def _done(self, key: bytes, step: Step, began: int, result: Any) -> None:
        self.history.ok(key.decode(), step.name, step.arguments, result, began)

    def _failed(
        self, client: Client, key: bytes, step: Step, began: int, error: BaseException
    ) -> None:
        if not isinstance(error, StoreError):
            raise error
        if isinstance(error, NotReplicated):
            self._done(key, step, began, client.met(key, step, error.result))
        elif isinstance(error, OutcomeUnknown) and step.name != "load":
            self.history.unknown(key.decode(), step.name, step.arguments, began)
        else:
            self.history.fail()


def by_threads(store: Store, crowd: Crowd) -> History:
    """Each client is a thread."""
    work = Work(store, crowd)
    in_threads(crowd.clients, work.by_thread)
    return work.history


def by_tasks(store: Store, crowd: Crowd) -> History:
    """Each client is a task, all in one event loop."""
    work = Work(store, crowd)

    async def together() -> None:
        try:
            await asyncio.gather(*map(work.by_task, range(crowd.clients)))
        finally:
            await store.aclose()

    asyncio.run(together())
    return work.history
