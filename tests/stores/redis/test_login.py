"""Logging in with a provider's credentials, again and again, on real and scripted servers."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionstore.core.errors import StoreError, StoreRefused, StoreUnavailable
from sessionstore.core.flow import Command
from sessionstore.core.flow import run as drive
from sessionstore.stores import credentials
from sessionstore.stores.base import Store
from sessionstore.stores.redis import RedisStore
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch
from tests.support.scripted_redis import ScriptedRedis
from tests.support.servers import RedisServer

OLD, NEW = "the-old-password", "the-new-password"
READY = 10
"""Seconds for what takes milliseconds on a machine that is not busy."""


@pytest.fixture
def user(redis_server: RedisServer, prefix: str) -> Iterator[str]:
    """A user of this test's own, whose password is OLD."""
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", prefix, "on", f">{OLD}", "~*", "+@all")
        yield prefix
        client.acl_deluser(prefix)


def opened(server: RedisServer, provider: Any, **options: Any) -> RedisStore:
    store = open_store(server.url, credentials=provider, timeout=READY, **options)
    assert isinstance(store, RedisStore)
    return store


class Runner:
    """Runs commands one after the other on one connection, sync or on one event loop."""

    def __init__(self, store: Store, how: str) -> None:
        self.store = store
        self._loop = asyncio.new_event_loop() if how == "async" else None

    def __call__(self, *request: Any) -> Any:
        return self.execute(Command(request))

    def execute(self, command: Command[Any]) -> Any:
        """The raw reply."""
        deadline = time.monotonic() + self.store.timeout
        if self._loop is None:
            return self.store.execute(command, deadline)
        return self._loop.run_until_complete(self.store.aexecute(command, deadline))

    def until(self, done: Callable[[Any], bool], *request: Any) -> Any:
        """Ask until the answer is so."""
        deadline = time.monotonic() + READY
        while not done(reply := self(*request)):
            assert time.monotonic() < deadline, reply
        return reply

    def close(self) -> None:
        if self._loop is not None:
            self._loop.run_until_complete(self.store.aclose())
            self._loop.close()
        self.store.close()


@BOTH
def test_the_provider_is_asked_at_every_connect(
    redis_server: RedisServer, user: str, how: str
) -> None:
    asked: list[None] = []

    def provider() -> tuple[str, str]:
        asked.append(None)
        return user, OLD

    store = opened(redis_server, provider)
    for _ in range(2):
        run = Runner(store, how)
        assert run("ACL", "WHOAMI") == run("ACL", "WHOAMI") == user.encode()
        run.close()
    assert len(asked) == 2


@BOTH
def test_a_password_exchanged_between_asking_and_telling(
    redis_server: RedisServer, user: str, how: str
) -> None:
    answers = iter(["just-replaced", OLD])
    run = Runner(opened(redis_server, lambda: (user, next(answers))), how)
    assert run("ACL", "WHOAMI") == user.encode()
    run.close()


@BOTH
@pytest.mark.parametrize("changing", [True, False])
def test_a_wrong_password_is_refused_after_one_more_look(
    redis_server: RedisServer, user: str, how: str, changing: bool
) -> None:
    asked: list[str] = []

    def provider() -> tuple[str, str]:
        asked.append(f"wrong-{len(asked) if changing else 0}")
        return user, asked[-1]

    run = Runner(opened(redis_server, provider), how)
    with Stopwatch(0.5), pytest.raises(StoreRefused, match="WRONGPASS"):
        run("PING")
    run.close()
    assert len(asked) == 2
    with redis_server.client() as client:
        counts = [entry["count"] for entry in client.acl_log() if entry["username"] == user]
    assert int(sum(map(int, counts))) == (2 if changing else 1)


@BOTH
def test_a_living_connection_logs_in_again_in_time(
    redis_server: RedisServer, user: str, how: str
) -> None:
    """As another user, so that it can be seen."""
    names = iter([user, f"{user}-2"])
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", f"{user}-2", "on", f">{NEW}", "~*", "+@all")

        def provider() -> tuple[str, str]:
            name = next(names, f"{user}-2")
            return name, OLD if name == user else NEW

        run = Runner(opened(redis_server, provider, auth_renew=0.05), how)
        connection = run("CLIENT", "ID")
        run.until(lambda name: name == f"{user}-2".encode(), "ACL", "WHOAMI")
        assert run("CLIENT", "ID") == connection
        run.close()
        client.acl_deluser(f"{user}-2")


@BOTH
def test_a_living_connection_follows_its_file(
    redis_server: RedisServer,
    user: str,
    how: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(credentials, "WATCH_SECONDS", 0.01)
    (tmp_path / "name").write_text(user)
    (tmp_path / "password").write_text(OLD)
    store = open_store(
        redis_server.url,
        auth="file",
        password_file=str(tmp_path / "password"),
        username_file=str(tmp_path / "name"),
        timeout=READY,
    )
    run = Runner(store, how)
    connection = run("CLIENT", "ID")
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", f"{user}-2", "on", f">{OLD}", "~*", "+@all")
        (tmp_path / "name").write_text(f"{user}-2")
        run.until(lambda name: name == f"{user}-2".encode(), "ACL", "WHOAMI")
        assert run("CLIENT", "ID") == connection
        run.close()
        client.acl_deluser(f"{user}-2")


@BOTH
@pytest.mark.parametrize("trouble", ["refused", "failing"])
def test_a_connection_that_cannot_log_in_again_goes_on(
    redis_server: RedisServer, user: str, how: str, trouble: str
) -> None:
    """The server has not got the new password yet, or nobody can tell it: the old log-in holds."""
    asked: list[None] = []

    def provider() -> tuple[str, str]:
        asked.append(None)
        if len(asked) == 1:
            return user, OLD
        if trouble == "failing":
            raise RuntimeError
        return user, NEW

    run = Runner(opened(redis_server, provider, auth_renew=0.001), how)
    connection = run("CLIENT", "ID")
    time.sleep(0.002)
    until = time.monotonic() + 10
    while len(asked) < 2 and time.monotonic() < until:
        assert run("ACL", "WHOAMI") == user.encode()
    for _ in range(20):
        assert run("ACL", "WHOAMI") == user.encode()
        assert run("CLIENT", "ID") == connection
    assert len(asked) == 2, "and it is not tried again for every command"
    run.close()


def test_a_provider_that_hangs_leaves_time_for_the_command(
    redis_server: RedisServer, user: str
) -> None:
    """Half of an attempt's time, which is two fifths of the store's."""
    asked: list[None] = []

    def provider() -> tuple[str, str]:
        asked.append(None)
        if len(asked) > 1:
            time.sleep(2)
        return user, OLD

    store = open_store(redis_server.url, credentials=provider, timeout=4, auth_renew=0.001)
    run = Runner(store, "sync")
    run("PING")
    time.sleep(0.002)
    began = time.monotonic()
    assert run("ACL", "WHOAMI") == user.encode()
    assert 0.7 < time.monotonic() - began < 1.4
    run.close()


class Forgetful:
    """Answers as a server that accepts PASSWORDS, and forgets who is logged in when told to."""

    def __init__(self, *passwords: bytes) -> None:
        self.passwords = set(passwords)
        self.logged_in = False
        self.executed = 0

    def __call__(self, command: list[bytes]) -> bytes:
        if command[0] == b"AUTH":
            self.logged_in = command[-1] in self.passwords
            return b"+OK\r\n" if self.logged_in else b"-WRONGPASS invalid\r\n"
        if not self.logged_in:
            return b"-NOAUTH Authentication required.\r\n"
        self.executed += 1
        return b"+OK\r\n"


@BOTH
def test_a_log_in_that_has_ended_costs_no_request(how: str) -> None:
    """As with IAM after 12 hours. A write too: the server has not executed it."""
    passwords = iter([OLD, NEW])
    server = Forgetful(OLD.encode())
    with ScriptedRedis(server) as scripted:
        store = open_store(scripted.url, credentials=lambda: ("app", next(passwords)))
        run = Runner(store, how)
        assert carry_one(run) == value(1)[1:13]
        server.logged_in, server.passwords = False, {NEW.encode()}
        assert carry_one(run) == value(1)[1:13]
        run.close()
    assert server.executed == 2


def carry_one(run: Runner) -> Any:
    flow = run.store.create(run.store.key("h"), value(1), 60)
    return drive(flow, run.execute)


@BOTH
@pytest.mark.parametrize("answer", [b"-NOAUTH nobody\r\n", b"-WRONGPASS expired\r\n"])
def test_a_log_in_that_does_not_hold_is_refused_after_one_more(how: str, answer: bytes) -> None:
    with ScriptedRedis(lambda got: b"+OK\r\n" if got[0] == b"AUTH" else answer) as server:
        run = Runner(open_store(server.url, credentials=lambda: ("app", OLD)), how)
        with pytest.raises(StoreRefused, match=r"NOAUTH|WRONGPASS"):
            run("GET", "k")
        run.close()
        assert [command[0] for command in server.commands] == [b"AUTH", b"GET"] * 2


def test_many_tasks_whose_log_in_has_ended(redis_server: RedisServer) -> None:
    """They log in once more, together."""
    server = Forgetful(OLD.encode())
    with ScriptedRedis(server) as scripted:
        store = open_store(scripted.url, credentials=lambda: ("app", OLD), timeout=READY)

        async def main() -> None:
            deadline = time.monotonic() + READY
            command: Command[Any] = Command(("SET", "k", "v"))
            await store.aexecute(command, deadline)
            server.logged_in = False
            replies = await asyncio.gather(*(store.aexecute(command, deadline) for _ in range(50)))
            assert set(replies) == {b"OK"}
            await store.aclose()

        asyncio.run(main())
        assert scripted.connections == 2
    assert server.executed == 51


@BOTH
def test_a_lost_reply_to_logging_in_is_no_lost_write(how: str) -> None:
    """Only the AUTH was sent: the write is sent by another connection."""
    seen: list[bytes] = []

    def answer(command: list[bytes]) -> bytes | None:
        seen.append(command[0])
        if command[0] == b"AUTH":
            return None if seen.count(b"AUTH") == 2 else b"+OK\r\n"
        return b"+OK\r\n"

    with ScriptedRedis(answer) as server:
        store = open_store(
            server.url, credentials=lambda: ("app", OLD), auth_renew=0.001, timeout=READY
        )
        run = Runner(store, how)
        for _ in range(3):
            assert carry_one(run) == value(1)[1:13]
            time.sleep(0.002)
        run.close()
    assert seen.count(b"SET") == 3


@BOTH
def test_a_provider_that_fails_is_tried_again_within_the_deadline(
    redis_server: RedisServer, user: str, how: str
) -> None:
    asked: list[None] = []

    def provider() -> tuple[str, str]:
        asked.append(None)
        if len(asked) < 3:
            raise ConnectionError("a secret")
        return user, OLD

    run = Runner(opened(redis_server, provider), how)
    assert run("ACL", "WHOAMI") == user.encode()
    run.close()


@BOTH
def test_a_provider_that_keeps_failing_is_told_without_its_words(
    redis_server: RedisServer, how: str
) -> None:
    def provider() -> tuple[str, str]:
        raise ConnectionError("a secret")

    run = Runner(open_store(redis_server.url, credentials=provider, timeout=0.2), how)
    with Stopwatch(0.2), pytest.raises(StoreUnavailable, match="ConnectionError") as raised:
        run("PING")
    run.close()
    assert raised.value.node == redis_server.url.partition("://")[2]
    assert "a secret" not in "".join(traceback.format_exception(raised.value))


@BOTH
@pytest.mark.parametrize("kind", ["url", "provider", "file", "env"])
def test_no_password_in_an_error_or_its_traceback(
    redis_server: RedisServer,
    how: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not even in one that shows local variables, as error trackers do."""
    (tmp_path / "password").write_text(NEW)
    monkeypatch.setenv("REDIS_PASSWORD", NEW)
    path = redis_server.url.partition("://")[2]
    stores = {
        "url": lambda: open_store(f"redis+unix://app:{NEW}@{path}"),
        "provider": lambda: open_store(redis_server.url, credentials=lambda: ("app", NEW)),
        "file": lambda: open_store(
            f"redis+unix://app@{path}?auth=file&password_file={tmp_path}/password"
        ),
        "env": lambda: open_store(f"redis+unix://app@{path}?auth=env&password_env=REDIS_PASSWORD"),
    }
    caplog.set_level("DEBUG")
    store = stores[kind]()
    run = Runner(store, how)
    with pytest.raises(StoreRefused) as raised:
        run("PING")
    run.close()
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    text = "".join(shown.format())
    assert "WRONGPASS" in text
    assert isinstance(raised.value, StoreError)
    assert NEW not in text + caplog.text + repr(store) + repr(vars(store))
