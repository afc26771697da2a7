"""The load: so many requests a second, whether or not they are answered."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tests.drill.ledger import Ghost, Outcome, Seen, Tally, User
from tests.support.figures import Sample
from tests.support.http_client import NoAnswer, Reply, Site

USERS: Final = 2.0
"""For each request a second: so that a fault does not run out of users who are free."""

SWEEPERS: Final = 16
"""Requests at once when everything is looked at in the end."""

_CERTAIN: Final = {200: Outcome.DONE, 401: Outcome.REFUSED, 409: Outcome.REFUSED}


class Load:
    """Users who visit, log in, write, read, log out and try old cookies, on all sites at random.

    :param rate: requests a second, over all sites
    """

    def __init__(self, sites: Sequence[Site], rate: float, seed: int = 0) -> None:
        self.tally = Tally()
        self.samples: list[Sample] = []
        self.lag = 0.0
        self._sites = list(sites)
        self._rate = rate
        self._chance = random.Random(seed)
        self._users: list[User] = []
        self._free: list[User] = []
        self._stopping = False

    def stop(self) -> None:
        """No more requests; those that are under way are awaited."""
        self._stopping = True

    async def run(self) -> None:
        """Until :meth:`stop`. A request that is late is sent all the same, and the lag is noted."""
        for _ in range(int(self._rate * USERS)):
            self._join()
        began, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:  # a bug in here ends the drill
            while not self._stopping:
                number += 1
                ahead = began + number / self._rate - time.monotonic()
                self.lag = max(self.lag, -ahead)
                await asyncio.sleep(max(ahead, 0))
                if not self._free:
                    self._join()
                user = self._free.pop(self._chance.randrange(len(self._free)))
                tasks.create_task(self._turn(user))

    def _join(self) -> None:
        user = User(len(self._users), self.tally)
        self._users.append(user)
        self._free.append(user)

    async def _turn(self, user: User) -> None:
        await self._next(user)(user)
        self._free.append(user)

    def _next(self, user: User) -> Callable[[User], Awaitable[None]]:
        draw = self._chance.random()
        if not user.logged_in:
            return self._log_in if user.cookie or draw < 0.5 else self._visit
        if draw < 0.4:
            return self._read
        if draw < 0.8:
            return self._write
        if draw < 0.9 or not user.ghosts:
            return self._log_out
        return self._haunt

    # -- what users do --

    async def _visit(self, user: User) -> None:
        reply, outcome = await self._get("write", f"/visit/{user.next_value()}", None)
        user.visited(outcome, reply.cookie)

    async def _log_in(self, user: User) -> None:
        value, name = user.next_value(), user.begin_login()
        reply, outcome = await self._get("write", f"/login/{name}/{value}", user.cookie)
        user.log_in(value, outcome, seen(reply) or Seen(), reply.cookie)

    async def _read(self, user: User) -> None:
        reply, outcome = await self._get("read", "/read", user.cookie)
        user.read(outcome, seen(reply) or Seen())
        user.keep(reply.cookie)

    async def _write(self, user: User) -> None:
        value = user.next_value()
        reply, outcome = await self._get("write", f"/write/{value}", user.cookie)
        user.write(value, outcome, seen(reply))
        user.keep(reply.cookie)

    async def _log_out(self, user: User) -> None:
        reply, outcome = await self._get("write", "/logout", user.cookie)
        user.log_out(outcome, seen(reply))

    async def _haunt(self, user: User) -> None:
        await self._present(user, self._chance.choice(user.ghosts))

    async def _present(self, user: User, ghost: Ghost) -> None:
        # A write, now and then: what is saved late must not bring anything back.
        late = self._chance.random() < 0.3
        kind, path = ("write", f"/write/{user.next_value()}") if late else ("read", "/read")
        reply, _ = await self._get(kind, path, ghost.cookie)
        user.haunt(ghost, seen(reply) or Seen())

    async def _get(self, kind: str, path: str, cookie: str | None) -> tuple[Reply, Outcome]:
        site = self._chance.choice(self._sites)
        began, problem = time.monotonic(), ""
        try:
            reply = await site.get(path, cookie)
        except NoAnswer as error:
            reply, problem = Reply(0), str(error)
        ended = time.monotonic()
        self.samples.append(Sample(site.name, kind, began, ended, reply.status, problem))
        return reply, _CERTAIN.get(reply.status, Outcome.UNKNOWN)

    # -- in the end --

    async def sweep(self) -> None:
        """Look at every session and every old cookie once more."""
        turns: list[Callable[[], Awaitable[None]]] = []
        for user in self._users:
            if user.logged_in:
                turns.append(lambda user=user: self._read(user))  # type: ignore[misc]
            turns += [
                lambda user=user, ghost=ghost: self._present(user, ghost)  # type: ignore[misc]
                for ghost in user.ghosts
            ]

        async def work() -> None:
            while turns:
                await turns.pop()()

        await asyncio.gather(*(work() for _ in range(SWEEPERS)))


def seen(reply: Reply) -> Seen | None:
    """What an answer shows of the session; None: it does not say."""
    if reply.status not in {200, 401}:
        return None
    return Seen(reply.body.get("user"), reply.body.get("value"))
