"""A session manager whose clock, randomness and store belong to the test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from sessionstore import Cookie, MemoryStore, Session, SessionConfig, SessionManager
from sessionstore.core import record
from sessionstore.core.flow import Flow, run
from sessionstore.core.record import Record
from sessionstore.core.sealing import Sealer
from sessionstore.core.state import State, Status
from tests.support.scripted_store import ScriptedStore

KEY = "the secret of these tests: 32 bytes or more"
OLD_KEY = "the secret before it, of 32 bytes or more"
NOW = 1_800_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Entropy:
    """Randomness that never repeats and is the same in each run."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self, size: int) -> bytes:
        return next(self._numbers).to_bytes(size, "big")


class World:
    """One store, one clock, and as many servers and clients as a test wants.

    :param settings: what differs from :class:`SessionConfig`'s defaults
    """

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.entropy = Entropy()
        self.memory = MemoryStore(clock=self.clock)
        self.store = ScriptedStore(self.memory)
        self.reports: list[tuple[str, str | None]] = []
        self.settings = {"secret_key": KEY, **settings}
        self.manager = self.server()

    def server(self, **settings: Any) -> SessionManager:
        """Another server on the same store, with other settings."""
        return SessionManager(
            self.store,
            SessionConfig(**{**self.settings, **settings}),
            on_report=lambda what, handle: self.reports.append((what, handle)),
            clock=self.clock,
            entropy=self.entropy,
        )

    @property
    def reported(self) -> list[str]:
        """What was reported, without the handles."""
        return [what for what, _ in self.reports]

    # -- requests --

    def open(self, cookie: str | Iterable[str] | None = None) -> Session:
        """A request that has loaded its session."""
        return self.manager.open(cookie)

    def request(self, cookie: str | None, action: Callable[[Session], Any]) -> Cookie | None:
        """A whole request."""
        session = self.open(cookie)
        action(session)
        return self.manager.commit(session)

    def begin(self, login: object = None, **attributes: Any) -> str:
        """A stored session's token."""
        session = self.open()
        if attributes or login is None:
            session.update(attributes or {"seen": 1})
        if login is not None:
            session.login(login)
        token = token_of(self.manager.commit(session))
        self.store.forget()
        return token

    # -- what the store holds --

    def stored(self, cookie: str) -> Record:
        """The record that is stored under this token's handle."""
        sealer = Sealer(self.manager.config.keys, self.manager.config.encryption)
        return record.decode(self.bytes_of(cookie), cookie[:16], sealer)

    def bytes_of(self, cookie: str) -> bytes:
        """The stored bytes."""
        entry = self._do(self.memory.load(self.memory.key(cookie[:16])))
        assert entry is not None
        return bytes(entry.value)

    def put(self, cookie: str, value: bytes) -> None:
        """Someone who can write to the store puts this value under the token's handle."""
        key = self.memory.key(cookie[:16])
        self._do(self.memory.delete(key))
        self._do(self.memory.create(key, value, DAY))

    def remove(self, cookie: str) -> None:
        """The store loses the record: evicted, flushed, or deleted by an administrator."""
        self._do(self.memory.delete(self.memory.key(cookie[:16])))

    def _do(self, flow: Flow[Any]) -> Any:
        return run(flow, lambda command: self.memory.execute(command, 0.0))

    @property
    def size(self) -> int:
        """How many sessions are stored."""
        return len(list(self.memory.keys()))


def token_of(cookie: Cookie | None) -> str:
    """The token that a commit sets."""
    assert cookie is not None
    assert cookie.value is not None
    return cookie.value


def status(session: Session) -> Status:
    """What the session's token has turned out to be."""
    return session.state.status


def fresh_state() -> State:
    """A request without a cookie."""
    return State(None)


CONTENT: dict[str, Any] = {"a": 1, "b": [2]}


def unread(content: dict[str, Any], **settings: Any) -> Session:
    """A session that nobody has looked at yet, holding this."""
    world = World(**settings)
    token = world.begin(**content) if content else None
    return world.manager.begin(token, Session)


def write(session: Session) -> None:
    """An ordinary write."""
    session["b"] = 2


def spoil(world: World, token: str) -> None:
    """A server with a newer release, or an attacker, has written something else."""
    value = world.bytes_of(token)
    world.put(token, value[:5] + bytes(8) + value[13:])
