"""Users who walk over the sites at random, each with a cookie jar and sometimes several tabs."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.soak.recording import Asked, Recorder
from tests.soak.rules import FIELD
from tests.soak.views import NAMES
from tests.support.figures import Sample
from tests.support.http_client import NoAnswer, Reply, Site

KINDS: Final = {"read": 9, "write": 9, "append": 3, "rotate": 2, "login": 2, "tabs": 5, "ghost": 2}
"""How often users do what."""
IN_TABS: Final = {"read": 3, "write": 6, "append": 3, "rotate": 2, "login": 1, "logout": 1}
"""The same, where several requests of one user are under way at once."""
LIFETIME: Final = (12, 50)
"""Requests of one session: at least, at most."""
GHOSTS: Final = 12
"""Old cookies that a user keeps."""
IDLE_SECONDS: Final = 3
"""The timeout of a session that is left to expire."""
CAN_EXPIRE: Final = "Django"
"""The one framework in which an app sets the timeout of a single session."""
SWEEPERS: Final = 8


class Load:
    """All users together.

    :param rate: requests a second that they make if all is well
    :ivar peaks: the most requests that a site had under way at once
    """

    def __init__(
        self, sites: Sequence[Site], rate: float, seed: int, *, per_second: float = 2.5
    ) -> None:
        self.recorder = Recorder()
        self.samples: list[Sample] = []
        self.sites: Mapping[str, Site] = {site.name: site for site in sites}
        self.between = 1 / per_second
        self.stopping = False
        self._gate = asyncio.Event()
        self._gate.set()
        self._active: Counter[str] = Counter()
        self.peaks: Counter[str] = Counter()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._users = [User(number, self, seed) for number in range(int(rate / per_second) or 1)]

    async def run(self) -> None:
        """Until :meth:`stop`."""
        async with asyncio.TaskGroup() as tasks:  # a bug in here ends the soak
            for user in self._users:
                tasks.create_task(user.walk())

    def stop(self) -> None:
        """No more requests."""
        self.stopping = True
        self._gate.set()

    async def rest(self) -> None:
        """No requests, and no connections, until :meth:`resume`. Returns when that is so."""
        self._gate.clear()
        await self._quiet.wait()
        for site in self.sites.values():
            await site.close()

    def resume(self) -> None:
        """Go on."""
        self._gate.set()

    async def ask(self, user: User, site: str, asked: Asked, pause: int = 0) -> Reply:
        """One request, when there is no rest."""
        await self._gate.wait()
        self._active[site] += 1
        self.peaks[site] = max(self.peaks[site], self._active[site])
        self._quiet.clear()
        try:
            return await self._ask(user, site, asked, pause)
        finally:
            self._active[site] -= 1
            if not self._active.total():
                self._quiet.set()

    async def _ask(self, user: User, site: str, asked: Asked, pause: int) -> Reply:
        path = "/".join(map(str, ("", asked.kind, *asked.arguments)))
        began, problem = time.monotonic_ns(), ""
        try:
            reply = await self.sites[site].get(f"{path}?{pause}", asked.token)
        except NoAnswer as error:
            reply, problem = Reply(0), str(error)
        kind = "read" if asked.kind == "read" else "write"
        took = Sample(site, kind, began / 1e9, time.monotonic(), reply.status, problem)
        self.samples.append(took)
        self.recorder.answered(user.number, asked, reply, began)
        return reply

    async def sweep(self) -> None:
        """Everybody looks at their session and at every old cookie once more."""
        turns = [(user, token) for user in self._users for token in user.tokens()]

        async def work() -> None:
            while turns:
                user, token = turns.pop()
                await self.ask(user, user.draw.choice(list(self.sites)), Asked("read", (), token))

        await asyncio.gather(*(work() for _ in range(SWEEPERS)))


class User:
    """Somebody with a cookie jar.

    :ivar draw: everything that this user does at random; when it happens is up to the machine
    """

    def __init__(self, number: int, load: Load, seed: int) -> None:
        self.number = number
        self.draw = random.Random(f"{seed}/{number}")
        self._load = load
        self._jar: str | None = None
        self._left = 0
        self._serial = 0
        self._ghosts: list[str] = []

    def tokens(self) -> list[str]:
        """Every cookie that this user still knows."""
        return [*self._ghosts, *([self._jar] if self._jar else [])]

    async def walk(self) -> None:
        """Request after request, until the load stops."""
        load = self._load
        await asyncio.sleep(self.draw.uniform(0, 2 * load.between))
        while not load.stopping:
            await self._step()
            await asyncio.sleep(self.draw.expovariate(1 / load.between))

    async def _step(self) -> None:
        if self._jar is None:
            self._left = self.draw.randint(*LIFETIME)
            await self._do("begin")
        elif self._left <= 0:
            await self._retire()
        else:
            self._left -= 1
            kind = self._choose(KINDS)
            if kind == "tabs":
                count = self.draw.choice([2, 2, 3])
                tabs = (self._do(self._choose(IN_TABS), self._pause()) for _ in range(count))
                await asyncio.gather(*tabs)
            elif kind == "ghost":
                await self._haunt()
            else:
                await self._do(kind)

    def _choose(self, kinds: Mapping[str, int]) -> str:
        (kind,) = self.draw.choices(list(kinds), list(kinds.values()))
        return kind

    async def _retire(self) -> None:
        """Log out; or walk away, with or without a timeout that is looked at."""
        how = self.draw.choice(["logout", "logout", "expire", "nothing"])
        if how == "logout":
            await self._do("logout")
        token, self._jar = self._jar, None
        if token is None or how == "logout":
            return
        if how == "expire" and CAN_EXPIRE in self._load.sites:
            await self._watch_it_expire(token)
        self._keep(token)

    async def _watch_it_expire(self, token: str) -> None:
        asked = Asked("expire", (IDLE_SECONDS,), token)
        reply = await self._load.ask(self, CAN_EXPIRE, asked)
        await self._read(token)
        if reply.status == 200:
            await asyncio.sleep(IDLE_SECONDS + 2)
            await self._read(token)

    async def _haunt(self) -> None:
        """An old cookie, to read with or to write: what comes late must bring nothing back."""
        if self._ghosts:
            token = self.draw.choice(self._ghosts)
            kind = self.draw.choice(["read", "read", "write"])
            await self._load.ask(self, self._site(), Asked(kind, self._arguments(kind), token))

    async def _read(self, token: str) -> None:
        await self._load.ask(self, self._site(), Asked("read", (), token))

    def _pause(self) -> int:
        """Milliseconds that a request takes from finding to doing: so that others come between."""
        return self.draw.choice([0, 0, 5, 20, 60])

    async def _do(self, kind: str, pause: int = 0) -> None:
        token = None if kind == "begin" else self._jar
        if token is None and kind != "begin":
            return  # another tab has lost it meanwhile
        asked = Asked(kind, self._arguments(kind), token)
        reply = await self._load.ask(self, self._site(), asked, pause)
        if reply.cookie is not None:
            self._jar = reply.cookie or None
        elif reply.status == 401 or (kind == "read" and reply.body.get("found", "") is None):
            self._jar = None
        if token is not None and token != self._jar and kind in {"login", "logout"}:
            self._keep(token)

    def _keep(self, ghost: str) -> None:
        self._ghosts = [*self._ghosts[1 - GHOSTS :], ghost]

    def _site(self) -> str:
        return self.draw.choice(list(self._load.sites))

    def _arguments(self, kind: str) -> tuple[Any, ...]:
        self._serial += 1
        value = self._serial * FIELD + self.number
        match kind:
            case "begin" | "append":
                return (value,)
            case "write":
                return self.draw.choice(NAMES), value
            case "login":
                # Mostly the same user again: another one's attributes do not stay.
                return (f"u{self.number}.{self.draw.choice([0, 0, 0, 1])}",)
        return ()
