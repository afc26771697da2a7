"""docs/how-to/rotate-keys.md under load: two app servers, and nobody is ever logged out.

Signing and encryption keys are rotated at once. Between two deployments the users meet servers of
both steps in turn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest

from sessionstore.core import record
from sessionstore.core.errors import RecordUnreadable
from sessionstore.core.flow import run
from sessionstore.core.sealing import Sealer
from sessionstore.stores.base import Store
from tests.adapters.conftest import SITES
from tests.rotation.deployments import (
    BEFORE,
    NEW,
    NEW_CIPHER,
    OLD_CIPHER,
    STEP_1,
    STEP_2,
    STEP_3,
    Keys,
    Server,
)
from tests.rotation.users import Load, User
from tests.support.servers import RedisServer
from tests.support.sites import Answer

Deployments = Sequence[tuple[int, Keys]]
TO_STEP_2: Deployments = ((0, STEP_1), (1, STEP_1), (0, STEP_2), (1, STEP_2))
TO_STEP_3: Deployments = ((0, STEP_3), (1, STEP_3))


@pytest.fixture(params=list(SITES))
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def encrypts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def servers(
    framework: str, encrypts: bool, redis_server: RedisServer, prefix: str
) -> Iterator[list[Server]]:
    url = f"{redis_server.url}?prefix={prefix}&timeout=5"
    made = [Server(SITES[framework], url, encrypts=encrypts) for _ in range(2)]
    yield made
    for server in made:
        server.close()


@pytest.fixture
def users(servers: list[Server]) -> list[User]:
    made = [User("reader", writes=False), User("writer", writes=True), User("tabs", True, tabs=3)]
    for user in made:
        user.log_in(servers[0])
    return made


def rotate(load: Load, servers: list[Server], deployments: Deployments) -> None:
    """One deployment after the other, each met by every tab before the next begins."""
    load.settle()
    for server, keys in deployments:
        servers[server].deploy(keys)
        load.settle()
        if load.logged_out or load.failed:
            return


def stored(store: Store, cookie: str | None) -> bytes:
    assert cookie is not None
    deadline = time.monotonic() + 10
    entry = run(
        store.load(store.key(cookie[:16])), lambda command: store.execute(command, deadline)
    )
    assert entry is not None
    return bytes(entry.value)


def is_readable_with_new_keys_alone(store: Store, user: User, *, encrypts: bool) -> bool:
    sealer = Sealer([NEW.encode()], [NEW_CIPHER.encode()] if encrypts else [])
    assert user.cookie is not None
    try:
        found = record.decode(stored(store, user.cookie), user.cookie[:16], sealer)
    except RecordUnreadable:
        return False
    return found.subject == user.name


def test_nobody_is_logged_out(servers: list[Server], users: list[User], encrypts: bool) -> None:
    store, idle = servers[0].store, User("idle", writes=False)
    idle.log_in(servers[1])
    load = Load(users, servers)
    with load.running():
        rotate(load, servers, TO_STEP_2)
        load.wait_until(lambda: all(user.is_signed_by(NEW) for user in users))
        rotate(load, servers, TO_STEP_3)
    assert (load.logged_out, load.failed) == ([], [])
    for user in users:
        assert user.is_signed_by(NEW)
        assert is_readable_with_new_keys_alone(store, user, encrypts=encrypts)
    _, writer, _ = users
    last = writer.visit(servers[0], lambda session: session["written"]).result
    assert next(writer.written) == last + 1, "every write has arrived"
    refused_with_the_retired_key(servers[0], idle)


def seen(answer: Answer) -> tuple[int, object, list[str]]:
    """What a client learns from it."""
    return answer.status, answer.result, answer.set_cookies


def refused_with_the_retired_key(server: Server, idle: User) -> None:
    """Who was not seen in between is nobody now; the record is left to expire."""
    cookie, before = idle.cookie, stored(server.store, idle.cookie)
    answer = idle.act(server)
    assert seen(answer) == (200, None, [])
    assert idle.cookie == cookie
    assert stored(server.store, cookie) == before


@pytest.mark.once
@pytest.mark.parametrize("encrypts", [False], indirect=True)
@pytest.mark.parametrize("framework", ["flask", "starlette"], indirect=True)
@pytest.mark.parametrize(
    "wrong",
    [
        [(0, STEP_2)],  # signs what the other does not know yet
        [(0, STEP_1), (1, STEP_1), (0, STEP_2), (0, STEP_3)],  # the other still signs with it
    ],
    ids=["no step 1", "step 3 before the end of step 2"],
)
def test_in_another_order_somebody_is_and_this_test_would_see_it(
    wrong: Deployments, servers: list[Server], users: list[User]
) -> None:
    load = Load(users, servers)
    with load.running():
        rotate(load, servers, wrong)
        load.wait_for_a_logout()
    assert load.logged_out


@pytest.mark.once
@pytest.mark.parametrize("encrypts", [True], indirect=True)
@pytest.mark.parametrize("framework", ["flask", "starlette"], indirect=True)
def test_nor_may_an_encryption_key_be_used_before_the_others_know_it(
    servers: list[Server], users: list[User]
) -> None:
    load = Load(users, servers)
    early = Keys("early", BEFORE.signing, (NEW_CIPHER, OLD_CIPHER))
    with load.running():
        rotate(load, servers, [(0, early)])
        load.wait_until(lambda: False)
    assert load.logged_out or any("409" in failure for failure in load.failed)


@pytest.mark.parametrize("encrypts", [True], indirect=True)
def test_a_record_under_a_retired_encryption_key_is_left_alone_and_reported(
    servers: list[Server], caplog: pytest.LogCaptureFixture
) -> None:
    user = User("late", writes=False)
    servers[0].deploy(Keys("only the signing key was rotated", (NEW,), (OLD_CIPHER,)))
    user.log_in(servers[0])
    cookie, before = user.cookie, stored(servers[0].store, user.cookie)
    servers[1].deploy(STEP_3)

    assert seen(user.act(servers[1])) == (200, None, [])
    assert f"session {str(cookie)[:16]}: unreadable_record:key" in caplog.text
    write = user.visit(servers[1], lambda session: session.update({"lost": 1}))
    assert (write.status, write.set_cookies) == (409, [])
    assert stored(servers[1].store, cookie) == before
    # Where the key is still there, so is the user.
    assert user.act(servers[0]).result == "late"


def test_a_cookie_under_a_retired_key_costs_no_store_command(
    framework: str, redis_server: RedisServer, prefix: str
) -> None:
    server = Server(
        SITES[framework], f"{redis_server.url}?prefix={prefix}&timeout=5", encrypts=False
    )
    user = User("idle", writes=False)
    user.log_in(server)
    server.deploy(STEP_3)
    with redis_server.client() as client:
        before = client.info("commandstats").get("cmdstat_get")
        answer = user.act(server)
        assert client.info("commandstats").get("cmdstat_get") == before
    assert seen(answer) == (200, None, [])
    server.close()
