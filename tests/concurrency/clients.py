"""Clients that share a few sessions, and what they do to them, recorded.

What a client does is written once, as a generator of requests to the session manager; threads and
tasks drive it, each in its way.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sessionstore import Cookie, Session, SessionConfig, SessionManager
from sessionstore.core.errors import OutcomeUnknown, SessionGone, StoreError
from sessionstore.core.state import Status
from sessionstore.stores.base import Store
from sessionstore.testing.lifecycle import in_threads
from tests.concurrency.history import History

KEY: Final = "the secret of the histories: 32 bytes or more"
NAMES: Final = ("a", "b", "c")
EVERYTHING: Final = {"write": 10, "append": 4, "rotate": 2, "login": 2, "logout": 1, "read": 3}
"""How often clients do what."""


class Open(NamedTuple):
    """A request begins."""

    token: str | None


class Commit(NamedTuple):
    """A request ends."""

    session: Session


class Cancelled(Exception):
    """The task was cancelled: nobody knows how far it got."""


Client = Generator[Open | Commit, Any, None]


@dataclass
class Board:
    """The sessions that the clients share: each slot has the tokens of one, the newest last."""

    slots: list[list[str]]
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def token(self, draw: random.Random) -> tuple[int, str | None]:
        """Mostly a session's newest token, sometimes one that may be too old."""
        slot = draw.randrange(len(self.slots))
        tokens = self.slots[slot][-3:]
        if not tokens:
            return slot, None
        return slot, tokens[-1] if draw.random() < 0.8 else draw.choice(tokens)

    def publish(self, slot: int, token: str) -> None:
        """Every client may use it from now on."""
        self.slots[slot] = [*self.slots[slot][-3:], token]

    def empty(self, slot: int, token: str) -> None:
        """The session has ended: the next client begins another, if nobody has."""
        if self.slots[slot] and self.slots[slot][-1][:16] == token[:16]:
            self.slots[slot] = []


def manager_of(store: Store) -> SessionManager:
    """What all the clients use. The secret before is good as long as a history lasts."""
    return SessionManager(store, SessionConfig(secret_key=KEY, rotation_grace=3600))


def secret_of(token: str) -> str:
    """A short name for a token's secret."""
    return hashlib.sha256(token[17:60].encode()).hexdigest()[:12]


class Requests:
    """What one client does, and the record of it.

    :param kinds: how often it does what
    :param lossy: whether replies are lost
    """

    def __init__(
        self,
        board: Board,
        history: History,
        draw: random.Random,
        kinds: dict[str, int],
        *,
        lossy: bool = False,
    ) -> None:
        self._lossy = lossy
        self._board = board
        self._history = history
        self._draw = draw
        self._kinds = kinds

    def client(self, count: int) -> Client:
        """So many requests, one after the other."""
        for _ in range(count):
            slot, token = self._board.token(self._draw)
            if token is None:
                yield from self.begin(slot)
                continue
            (kind,) = self._draw.choices(list(self._kinds), list(self._kinds.values()))
            yield from self._request(slot, token, kind)

    def begin(self, slot: int) -> Client:
        """Another session for this slot."""
        value, began = next(self._board.numbers), time.monotonic_ns()
        try:
            session = yield Open(None)
            session["a"] = value
            cookie = yield Commit(session)
        except (StoreError, Cancelled):
            return  # nobody has its token
        self._begun(cookie, began, (("a", value),), None)
        self._board.publish(slot, cookie.value)

    def _begun(
        self, cookie: Cookie, began: int, attributes: tuple[Any, ...], user: str | None
    ) -> None:
        assert cookie.value is not None
        life = (attributes, (), user, secret_of(cookie.value))
        self._history.ok(cookie.value[:16], "begin", life, "begun", began)

    def _request(self, slot: int, token: str, kind: str) -> Client:
        handle, secret, began = token[:16], secret_of(token), time.monotonic_ns()
        try:
            session = yield Open(token)
        except (StoreError, Cancelled):
            self._history.fail()
            return
        seen = _seen(session)
        self._history.ok(handle, "open", (secret,), seen, began)
        if not isinstance(seen, tuple):
            self._board.empty(slot, token)
        if isinstance(seen, tuple) and kind != "read":
            yield from self._commit(slot, handle, secret, session, kind)

    def _commit(self, slot: int, handle: str, secret: str, session: Session, kind: str) -> Client:
        arguments = (secret, *self._act(session, kind))
        began = time.monotonic_ns()
        try:
            cookie = yield Commit(session)
        except SessionGone:
            self._history.ok(handle, kind, arguments, "gone", began)
            if self._lossy:
                # It may have been stored before the session ended, and only its reply was lost.
                self._history.unknown(handle, kind, arguments, began)
        except (OutcomeUnknown, Cancelled):
            self._history.unknown(handle, kind, arguments, began)
        except StoreError:
            self._history.fail()
        else:
            self._done(slot, handle, kind, arguments, cookie, began)

    def _act(self, session: Session, kind: str) -> tuple[Any, ...]:
        number = next(self._board.numbers)
        match kind:
            case "write":
                name = self._draw.choice(NAMES)
                session[name] = number
                return name, number
            case "append":
                session["_flashes"] = [*session.get("_flashes", []), number]
                return (number,)
            case "rotate":
                session.rotate()
                return (f"lost-{number}",)
            case "login":
                user = self._draw.choice(["ann", "bob"])
                session.login(user)
                return f"lost-{number}", user
            case _:
                session.logout()
                return ()

    def _done(
        self,
        slot: int,
        handle: str,
        kind: str,
        arguments: tuple[Any, ...],
        cookie: Cookie | None,
        began: int,
    ) -> None:
        token = None if cookie is None else cookie.value
        result = _result(kind, handle, cookie)
        if result in {"rotated", "logged in"}:
            assert token is not None
            secret, _, *rest = arguments
            arguments = (secret, secret_of(token), *rest)
        self._history.ok(handle, kind, arguments, result, began)
        if result == "elsewhere":
            assert cookie is not None
            self._begun(cookie, began, (), arguments[-1])
        if token is not None:
            self._board.publish(slot, token)


def _seen(session: Session) -> Any:
    """What an ``open`` has found, as the specification has it."""
    state = session.state
    if state.status is Status.LOADED and state.record is not None:
        attributes = dict(session)
        flashes = tuple(attributes.pop("_flashes", ()))
        return tuple(sorted(attributes.items())), flashes, session.subject
    return "void" if state.status is Status.VOID else "new"


def _result(kind: str, handle: str, cookie: Cookie | None) -> str:
    match kind:
        case "rotate":
            return "not rotated" if cookie is None else "rotated"
        case "login":
            assert cookie is not None and cookie.value is not None
            return "logged in" if cookie.value[:16] == handle else "elsewhere"
        case "logout":
            return "not ours" if cookie is None else "logged out"
        case _:
            return "saved"


# -- driving them --


def drive(client: Client, manager: SessionManager) -> None:
    """By the manager's blocking methods."""
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            step = client.send(answer) if error is None else client.throw(error)
        except StopIteration:
            return
        answer = error = None
        try:
            answer = (
                manager.open(step.token) if isinstance(step, Open) else manager.commit(step.session)
            )
        except (StoreError, SessionGone) as failure:
            error = failure


async def adrive(client: Client, manager: SessionManager, draw: random.Random) -> None:
    """By the asynchronous ones. Now and then, the task that carries one out is cancelled."""
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            step = client.send(answer) if error is None else client.throw(error)
        except StopIteration:
            return
        answer = error = None
        work = (
            manager.aopen(step.token) if isinstance(step, Open) else manager.acommit(step.session)
        )
        try:
            answer = await _carry(work, draw.randrange(6) if draw.random() < 0.1 else None)
        except (StoreError, SessionGone, Cancelled) as failure:
            error = failure


async def _carry(work: Any, ticks: int | None) -> Any:
    task = asyncio.ensure_future(work)
    if ticks is not None:
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise Cancelled
    return await task


@dataclass(frozen=True)
class Crowd:
    """How many clients there are, and what they do.

    :param seed: of what they draw; what comes between whom is up to the machine
    :param count: requests of each client
    :param slots: sessions that they share
    :param lossy: whether replies are lost
    """

    seed: int
    clients: int = 4
    count: int = 40
    slots: int = 2
    lossy: bool = False

    def requests(self, board: Board, history: History, number: int) -> tuple[Client, random.Random]:
        """One client, and its draws."""
        draw = random.Random(f"{self.seed}/{number}")
        requests = Requests(board, history, draw, EVERYTHING, lossy=self.lossy)
        return requests.client(self.count), draw

    def board(self) -> Board:
        """Nothing on it yet."""
        return Board([[] for _ in range(self.slots)])


def by_threads(store: Store, crowd: Crowd) -> History:
    """Each client is a thread."""
    history, manager, board = History(), manager_of(store), crowd.board()

    def work(number: int) -> None:
        client, _ = crowd.requests(board, history, number)
        drive(client, manager)

    in_threads(crowd.clients, work)
    return history


def by_tasks(store: Store, crowd: Crowd) -> History:
    """Each client is a task, all in one event loop."""
    history, manager, board = History(), manager_of(store), crowd.board()

    async def work(number: int) -> None:
        client, draw = crowd.requests(board, history, number)
        await adrive(client, manager, draw)

    async def together() -> None:
        try:
            await asyncio.gather(*map(work, range(crowd.clients)))
        finally:
            await store.aclose()

    asyncio.run(together())
    return history
