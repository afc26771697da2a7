"""One request: the product's session and, beside it, what the model knows of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sessionstore.core.cookies import Cookie
from sessionstore.core.errors import HeadersAlreadySent, StoreError
from sessionstore.core.session import Session
from sessionstore.core.state import Lifetime, Status
from tests.model.commits import Commit, Server
from tests.model.spec import Kept, Wanted, secret_of


class Request:
    """A request and its session.

    :param token: what the client sent, if the server took it for a token
    """

    def __init__(self, server: Server, token: str | None, session: Session) -> None:
        self.server = server
        self.keeps_empty = server.manager.config.keep_empty
        self.session = session
        self.token = token
        self.handle = None if token is None else token[:16]
        self.secret = None if token is None else secret_of(token)
        self.status = Status.NEW if token is None else Status.UNLOADED
        self.epoch = 0
        self.subject: str | None = None
        self.touched = self.idle = self.absolute = 0.0
        self.version = b""
        self.minted = False
        self.failure: StoreError | None = None
        self.answer: Cookie | None = None
        self.headers_sent = False
        self.commit: Commit | None = None
        # What the app sees, and what it saw last.
        self.values: dict[str, Any] = {}
        self.baseline: dict[str, Any] = {}
        # What the app did since the last commit.
        self.looked = self.accessed = False
        self.destroyed = False
        # Whether what the app sees is of a session that has ended.
        self.leftover = False
        self.settle()

    def __repr__(self) -> str:
        return f"<Request {self.status.value} {self.handle}>"

    def settle(self) -> None:
        """Nothing is outstanding any more."""
        self.own: set[str] = set()
        self.written = self.cleared = self.rotates = False
        self.login: str | None = None
        self.lifetime: Lifetime | None = None

    # -- what it holds --

    def follow(self, stored: Kept) -> None:
        """This is the session as the request knows it, apart from its attributes."""
        self.status, self.epoch, self.subject = Status.LOADED, stored.epoch, stored.subject
        self.touched, self.version = stored.touched, stored.writes[0]
        self.idle, self.absolute = stored.idle, stored.absolute

    def becomes_void(self) -> None:
        """The session is not this request's any more."""
        self.status, self.subject = Status.VOID, None

    def loaded(self, stored: Kept) -> None:
        """The session has been found, and is this client's."""
        self.follow(stored)
        if not self.destroyed:
            self.values = copy.deepcopy(stored.attributes)
            self.baseline = copy.deepcopy(stored.attributes)

    # -- what the app does --

    def look(self) -> bool:
        """Read everything; whether there is anything to be read."""
        if self.failure is not None and self.status is Status.UNLOADED and not self.looked:
            with pytest.raises(type(self.failure)):
                dict(self.session.items())
            return False
        self.looked = self.accessed = True
        assert self.session == self.values, "a request sees what it loaded and what it wrote"
        return True

    def put(self, name: str, value: Any) -> None:
        """Assign an attribute."""
        if self.look() and self._may(
            lambda: self.session.__setitem__(name, copy.deepcopy(value)), begins=True
        ):
            self.values[name] = value
            self.own.add(name)
            self.written = True

    def append(self, name: str, value: int) -> None:
        """Change a list in place, which no method of the session sees."""
        if not self.look():
            return
        if name not in self.values:
            self.put(name, [value])
        else:
            self.session[name].append(value)
            self.values[name].append(value)

    def pop(self, name: str) -> None:
        """Remove an attribute."""
        if not self.look() or name not in self.values:
            return
        if self._may(lambda: self.session.pop(name), begins=True):
            del self.values[name]
            self.written = True

    def clear(self) -> None:
        """Remove them all."""
        if self.look():
            self.session.clear()
            self.values = {}
            self.cleared = self.written = True
            self.login = None

    def log_in(self, user: str) -> None:
        """Sign somebody in."""
        if not self.look():
            return
        if self.failure is not None and not self.headers_sent:
            with pytest.raises(type(self.failure)):
                self.session.login(user)
            return
        before = self.login or (None if self.destroyed or self.cleared else self.subject)
        if self._may(lambda: self.session.login(user), needs_cookie=True):
            self.login = user
            self.written = True
            if before not in (None, user):
                own = self.own | self._wanted(0.0, force=False).changed.keys()
                self.values = {n: v for n, v in self.values.items() if n in own}

    def rotate(self) -> None:
        """Ask for a new secret."""
        if self.look() and self._may(self.session.rotate, needs_cookie=True):
            self.rotates = True

    def live(self, lifetime: Lifetime) -> None:
        """Ask for other deadlines, as Django's ``set_expiry`` and Flask's ``permanent`` do."""
        if self.look():
            self.session.state.lifetime = self.lifetime = lifetime

    def destroy(self) -> None:
        """Log out."""
        self.session.destroy()
        self.looked = self.accessed = True
        self.destroyed = True
        self.values, self.baseline = {}, {}
        self.settle()

    def _may(
        self, action: Callable[[], Any], *, needs_cookie: bool = False, begins: bool = False
    ) -> bool:
        """Do it, or see it refused because no cookie can be sent any more."""
        begins = begins and (self.status is Status.NEW or self.destroyed)
        if self.headers_sent and (needs_cookie or begins):
            with pytest.raises(HeadersAlreadySent):
                action()
            return False
        action()
        return True

    # -- commit --

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to store beyond that it is in use."""
        wanted = self._wanted(0.0, force=False)
        return wanted.writes or wanted.destroy

    def begin_commit(self, now: float, *, force: bool) -> Commit:
        """What is wanted of the commit that begins now."""
        self.commit = Commit(
            self,
            self._wanted(now, force=force),
            self.status,
            self.handle,
            self.secret,
            self.epoch,
            self.touched,
            self.idle,
            self.version,
            # A secret that it has made itself and nobody has seen yet is as good as a new one.
            self.minted and not self.headers_sent,
            self.headers_sent,
            self.failure,
        )
        return self.commit

    def _wanted(self, now: float, *, force: bool) -> Wanted:
        emptied = self.cleared and not self.values and self.login is None and not self.keeps_empty
        destroy = self.looked and (self.destroyed or emptied)
        # After an end everything begins anew, so there is nothing left to replace or to leave.
        cleared = self.cleared and not destroy
        return Wanted(
            now=now,
            baseline=self.baseline,
            values=copy.deepcopy(self.values),
            own=frozenset(self.values if self._begins else self.own),
            destroy=destroy,
            replaces=cleared,
            login=self.login,
            leaves=cleared and self.subject is not None and self.login is None,
            rotate=self.rotates,
            written=self.written,
            looked=self.looked,
            accessed=self.accessed,
            force=force,
            lifetime=self.lifetime,
            base=(self.idle, self.absolute) if self.status is Status.LOADED else None,
        )

    @property
    def _begins(self) -> bool:
        return self.status is Status.NEW and not self.leftover

    def leave_behind(self, wanted: Wanted) -> None:
        """What the app sees still is no part of a session that it begins from now on."""
        self.baseline, self.leftover = copy.deepcopy(wanted.values), True

    def rebase(self, wanted: Wanted) -> None:
        """What was wanted is what later changes are compared with."""
        if wanted.replaces:
            self.baseline = {}
        for name in wanted.removed:
            self.baseline.pop(name, None)
        self.baseline |= copy.deepcopy(wanted.changed)
        self.settle()

    def forget(self) -> None:
        """There is no session any more: what is written from now on begins another."""
        self.status, self.token, self.handle, self.secret = Status.NEW, None, None, None
        self.subject, self.baseline = None, {}
        self.destroyed = self.cleared = self.leftover = False
