"""A server, and one commit under way on it: what is wanted, and what has become of it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sessionstore.core.errors import StoreError
from sessionstore.core.sealing import Sealer
from sessionstore.core.state import Status
from sessionstore.manager import SessionManager
from tests.model.calls import Call, Done, Effect
from tests.model.spec import Kept, Stored, Wanted, signed_by
from tests.model.stepping import Running

if TYPE_CHECKING:
    from tests.model.requests import Request


@dataclass(frozen=True)
class Server:
    """One app server: a manager with the keys of its deployment, newest first."""

    manager: SessionManager
    keys: tuple[bytes, ...]
    key_ids: tuple[bytes, ...]

    @classmethod
    def of(cls, manager: SessionManager) -> Server:
        """What this manager signs, seals and reads."""
        config = manager.config
        plain = [Sealer([key]).key_id for key in config.keys]
        secret = [Sealer([config.keys[0]], [key]).key_id for key in config.encryption]
        return cls(manager, config.keys, (*secret, *plain))

    def reads(self, stored: Kept) -> bool:
        """Whether it has the key that this record is sealed with."""
        return stored.key_id in self.key_ids


@dataclass
class Commit:
    """One commit under way: what is wanted, and what has become of it so far.

    The request's own fields stay as they were until it is finished, except for what a load within
    it finds out.

    :param failure: of an earlier load, which a logout must not hide
    """

    request: Request
    wanted: Wanted
    status: Status
    handle: str | None
    secret: bytes | None
    epoch: int
    touched: float
    idle: float
    version: bytes
    unseen: bool
    headers_sent: bool
    failure: StoreError | None
    running: Running | None = None
    done: list[Done] = field(default_factory=list)

    @property
    def effects(self) -> list[Effect]:
        """What it has changed, in order."""
        return [done.effect for done in self.done if done.effect is not None]

    @property
    def calls(self) -> list[Call]:
        """The verbs that its commands belong to, in order."""
        return list(dict.fromkeys(done.call for done in self.done))

    def last(self, *verbs: str) -> Call | None:
        """The last call of these verbs that has returned."""
        returned = [call for call in self.calls if call.answered and call.verb in verbs]
        return returned[-1] if returned else None

    def fates(self, *names: str) -> list[Done]:
        """Those of its commands that met one of these fates."""
        return [done for done in self.done if done.fate in names]

    def loaded(self, stored: Kept) -> None:
        """The session has been found, and is this client's."""
        self.status = Status.LOADED
        self.epoch, self.version = stored.epoch, stored.writes[0]
        self.touched, self.idle = stored.touched, stored.idle

    def claims(self, stored: Stored) -> bool:
        """Whether what is stored is still the session that the request has loaded."""
        if self.status is not Status.LOADED or not isinstance(stored, Kept):
            return False
        return self.request.server.reads(stored) and stored.epoch == self.epoch

    def proves(self, stored: Kept) -> bool:
        """Whether the client's token holds the current secret."""
        return self.secret == stored.secret

    def rotates(self, before: Kept) -> bool:
        """Whether this commit must change the secret of what is stored."""
        wanted = self.wanted
        asked = wanted.rotate or (wanted.changes_hands and not self.unseen)
        return asked and self.proves(before)

    def leaves_key_behind(self, before: Kept) -> bool:
        """Whether the client's token is under a retired key, and no cookie can be sent."""
        token, newest = self.request.token, self.request.server.keys[0]
        return (
            self.headers_sent
            and self.proves(before)
            and token is not None
            and not signed_by(token, [newest])
        )

    @property
    def touch_is_due(self) -> bool:
        """Whether it must record that the session is in use."""
        wanted = self.wanted
        return (wanted.force or wanted.accessed) and wanted.now - self.touched >= self.idle / 10
