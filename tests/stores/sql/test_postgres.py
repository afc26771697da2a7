"""PostgreSQL beyond the contract."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from sessionstore.core.errors import (
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.verbs import Entry, Exists
from sessionstore.stores.base import Purgeable, Store
from sessionstore.stores.location import parse
from sessionstore.stores.sql.failures import connecting_to_postgres, from_postgres
from sessionstore.stores.sql.parameters import connection_parameters
from sessionstore.stores.url import open_store
from sessionstore.testing import FaultProxy
from sessionstore.testing.driving import value
from sessionstore.testing.lifecycle import in_threads
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.support.certificates import Certificates
from tests.support.servers import PostgresServer

TIMEOUT = 0.8


@pytest.fixture
def table(prefix: str) -> str:
    return prefix.replace("-", "_")


@pytest.fixture
def store(postgres_server: PostgresServer, table: str) -> Iterator[Store]:
    store = open_store(f"{postgres_server.url}?table={table}", timeout=10)
    carry(store, "sync", store.load(store.key("h")))  # makes the table
    yield store
    store.close()


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[FaultProxy]:
    port = urlsplit(postgres_server.url).port
    assert port is not None
    with FaultProxy(("127.0.0.1", port)) as proxy:
        yield proxy


@pytest.fixture
def faulty(store: Store, proxy: FaultProxy, table: str) -> Iterator[Store]:
    """The same sessions, through the proxy."""
    url = f"postgresql+psycopg://tests@{proxy.address}/postgres?table={table}&timeout={TIMEOUT}"
    faulty = open_store(url)
    yield faulty
    faulty.close()


def admin(server: PostgresServer) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True)


def test_workers_that_start_at_once_make_the_table_once(
    postgres_server: PostgresServer, prefix: str
) -> None:
    for turn in range(3):
        url = f"{postgres_server.url}?table=at_once_{prefix[-6:]}_{turn}"
        stores = [open_store(url, timeout=20) for _ in range(6)]
        barrier = threading.Barrier(6)

        def start(number: int, stores: list[Store] = stores, barrier: object = barrier) -> None:
            barrier.wait(30)  # type: ignore[attr-defined]
            store = stores[number]
            assert (
                carry(store, "sync", store.create(store.key(f"{number}"), value(1), 60)) != Exists()
            )

        in_threads(6, start)
        for store in stores:
            store.close()


@BOTH
@pytest.mark.parametrize("fault", ["silent", "swallowed", "half", "stalled", "lost"])
def test_a_network_that_misbehaves(
    store: Store, faulty: Store, proxy: FaultProxy, how: str, fault: str
) -> None:
    key = store.key("h")
    carry(store, "sync", store.create(key, value(1), 60))
    carry(faulty, how, faulty.load(key), 10)  # connected
    proxy.fault = fault
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        carry(faulty, how, faulty.load(key))
    with Stopwatch(TIMEOUT), pytest.raises((StoreUnavailable, OutcomeUnknown)):
        carry(faulty, how, faulty.replace(key, value(2), 60, value(1)[1:13]))
    proxy.fault = ""
    entry = carry(store, "sync", store.load(key))
    assert carry(faulty, how, faulty.load(key), 10) == entry


@BOTH
def test_a_write_without_a_reply_is_not_sent_again(
    store: Store, faulty: Store, proxy: FaultProxy, how: str
) -> None:
    key = store.key("h")
    carry(store, "sync", store.create(key, value(1), 60))

    def lose() -> None:
        proxy.fault = "swallowed"

    with Stopwatch(TIMEOUT), pytest.raises(OutcomeUnknown):
        after_connecting(faulty, how, lose, key)
    assert carry(store, "sync", store.load(key)) == Entry(value(2), value(2)[1:13])


def after_connecting(store: Store, how: str, then: object, key: bytes) -> None:
    """Connect, call ``then``, and replace on the same connection (in one event loop)."""
    command = next(store.replace(key, value(2), 60, value(1)[1:13]))
    if how == "sync":
        carry(store, how, store.load(key), 10)
        then()  # type: ignore[operator]
        store.execute(command, time.monotonic() + TIMEOUT)
        return

    async def use() -> None:
        await store.aexecute(next(store.load(key)), time.monotonic() + 10)
        then()  # type: ignore[operator]
        await store.aexecute(command, time.monotonic() + TIMEOUT)

    asyncio.run(use())


@BOTH
def test_a_locked_row_is_given_up_by_the_server_too(
    store: Store, faulty: Store, postgres_server: PostgresServer, table: str, how: str
) -> None:
    key = store.key("h")
    carry(store, "sync", store.create(key, value(1), 60))
    with admin(postgres_server) as other, other.transaction():
        other.execute(f"SELECT * FROM {table} FOR UPDATE")  # noqa: S608
        assert carry(faulty, how, faulty.load(key), 10) is not None, "readers do not wait"
        with Stopwatch(TIMEOUT), pytest.raises((StoreUnavailable, OutcomeUnknown)):
            carry(faulty, how, faulty.replace(key, value(2), 60, value(1)[1:13]))
        # Not executed later either, when the lock is gone.
        deadline = time.monotonic() + 10
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with admin(postgres_server) as watcher:
            while watcher.execute(waiting).fetchone() != (0,):
                assert time.monotonic() < deadline
                time.sleep(0.02)
    assert carry(store, "sync", store.load(key)) == Entry(value(1), value(1)[1:13])


@BOTH
def test_connections_that_the_server_closed_while_idle_harm_no_write(
    store: Store, postgres_server: PostgresServer, table: str, how: str
) -> None:
    key = store.key("h")
    carry(store, "sync", store.create(key, value(1), 60))

    def restart() -> None:
        with admin(postgres_server) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'sessionstore'"
            )

    after_connecting(store, how, restart, key)
    assert carry(store, "sync", store.load(key)) == Entry(value(2), value(2)[1:13])


async def test_a_cancelled_task_costs_its_connection_and_nothing_else(
    store: Store, postgres_server: PostgresServer, table: str
) -> None:
    key = store.key("h")
    load = next(store.load(key))
    await store.aexecute(next(store.create(key, value(1), 60)), time.monotonic() + 10)
    with admin(postgres_server) as other, other.transaction():
        other.execute(f"SELECT * FROM {table} FOR UPDATE")  # noqa: S608
        tasks = [
            asyncio.create_task(store.aexecute(next(store.delete(key)), time.monotonic() + 10))
            for _ in range(20)
        ]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert time.monotonic() - began < 2, "psycopg would ask the server first, for up to 5 s"
    for _ in range(20):
        # Whether a cancelled write was executed is as unknown as ever.
        assert await store.aexecute(load, time.monotonic() + 10) in ([], [(value(1),)])
    await store.aclose()


@BOTH
def test_no_more_connections_than_allowed(
    store: Store, postgres_server: PostgresServer, table: str, how: str
) -> None:
    url = f"{postgres_server.url}?table={table}&max_connections=2"
    small = open_store(url, timeout=10)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sessionstore'"
    with admin(postgres_server) as other:
        before = other.execute(count).fetchone()

        def use(number: int) -> None:
            for _ in range(5):
                carry(small, "sync", small.load(small.key("h")))

        async def ause() -> None:
            load = next(small.load(small.key("h")))
            await asyncio.gather(*(small.aexecute(load, time.monotonic() + 10) for _ in range(40)))
            after = other.execute(count).fetchone()
            assert after is not None and before is not None
            assert int(str(after[0])) - int(str(before[0])) <= 2

        if how == "sync":
            in_threads(8, use)
            after = other.execute(count).fetchone()
            assert after is not None
            assert before is not None
            assert int(str(after[0])) - int(str(before[0])) <= 2
        else:
            asyncio.run(ause())
    small.close()


@BOTH
def test_nobody_listens(how: str) -> None:
    store = open_store("postgresql+psycopg://u@127.0.0.1:1/db", timeout=TIMEOUT)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        carry(store, how, store.load(store.key("h")))
    store.close()


@BOTH
def test_a_server_that_accepts_and_is_silent(proxy: FaultProxy, how: str) -> None:
    proxy.fault = "silent"
    store = open_store(f"postgresql+psycopg://tests@{proxy.address}/postgres", timeout=TIMEOUT)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        carry(store, how, store.create(store.key("h"), value(1), 60))
    store.close()
    # The thread that connects ends by itself, once there is an answer.
    proxy.cut()
    deadline = time.monotonic() + 10
    while any(thread.name == "sessionstore-wait" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@BOTH
def test_an_unknown_database(postgres_server: PostgresServer, how: str) -> None:
    store = open_store(postgres_server.url.replace("/postgres", "/no_such_db"), timeout=10)
    with pytest.raises(StoreRefused, match="log-in"):
        carry(store, how, store.load(store.key("h")))
    store.close()


@BOTH
def test_a_user_who_may_only_use_the_table(
    store: Store, postgres_server: PostgresServer, table: str, how: str
) -> None:
    """The least privilege that the documentation names is enough, and needed."""
    role = f"role_{table}_{how}"
    with admin(postgres_server) as other:
        other.execute(f"CREATE ROLE {role} LOGIN PASSWORD 's3cr3t'")
        url = postgres_server.url.replace("tests@", f"{role}:s3cr3t@") + f"?table={table}"
        app = open_store(url, timeout=10)
        with pytest.raises(StoreRefused, match="permission"):
            carry(app, how, app.load(app.key("h")))
        other.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}")
        key = app.key(how)
        version = carry(app, how, app.create(key, value(1), 60))
        assert not isinstance(version, Exists)
        carry(app, how, app.replace(key, value(2), 60, version))
        carry(app, how, app.delete(key))
        app.close()
        # Without the table, and without the right to make one.
        bare = open_store(f"{url}_missing", timeout=10)
        with pytest.raises(StoreRefused, match="permission"):
            carry(bare, how, bare.load(bare.key("h")))
        bare.close()
        other.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_purge_in_batches_beside_other_prefixes(store: Store) -> None:
    assert isinstance(store, Purgeable)
    for number in range(5):
        carry(store, "sync", store.create(store.key(f"{number}"), value(1), 0.001))
    deadline = time.monotonic() + 10
    while carry(store, "sync", store.load(store.key("4"))) is not None:
        assert time.monotonic() < deadline
    assert list(store.purge(batch=2)) == [2, 2, 1]


@pytest.mark.parametrize(
    ("state", "kind", "lost"),
    [
        (None, StoreUnavailable, True),
        ("08006", StoreUnavailable, True),
        ("57P01", StoreUnavailable, True),
        ("57P03", StoreUnavailable, False),
        ("53300", StoreUnavailable, False),
        ("57014", StoreUnavailable, False),
        ("55P03", StoreUnavailable, False),
        ("40001", StoreUnavailable, False),
        ("25006", StoreUnavailable, False),
        ("23505", StoreUnavailable, False),
        ("53100", StoreFull, False),
        ("42501", StoreRefused, False),
        ("28P01", StoreRefused, False),
        ("3D000", StoreRefused, False),
        ("42P01", StoreRefused, False),
        ("XX000", StoreRefused, False),
    ],
)
def test_sqlstates(state: str | None, kind: type[StoreError], lost: bool) -> None:
    failure = from_postgres(state, "h:5432")
    assert type(failure.error) is kind
    assert failure.lost is lost


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('FATAL:  password authentication failed for user "secret"', StoreRefused),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "secret"', StoreRefused),
        ('FATAL:  database "secret" does not exist', StoreRefused),
        ("SSL error: certificate verify failed", StoreRefused),
        ("server does not support SSL, but SSL was required", StoreRefused),
        ("connection refused", StoreUnavailable),
        ("FATAL:  the database system is starting up", StoreUnavailable),
        ("FATAL:  sorry, too many clients already", StoreUnavailable),
        ("could not translate host name", StoreUnavailable),
    ],
)
def test_errors_of_connecting(text: str, kind: type[StoreError]) -> None:
    failure = connecting_to_postgres(text, "h:5432")
    assert type(failure.error) is kind
    assert "secret" not in str(failure.error)
    assert not failure.lost


def test_no_error_shows_the_session(store: Store, postgres_server: PostgresServer) -> None:
    with admin(postgres_server) as other:
        table = store._statements.table.name  # type: ignore[attr-defined]
        other.execute(f"ALTER TABLE {table} ADD CONSTRAINT never CHECK (length(value) < 5)")
    data = value(1, bytes(reversed(b"yzzyx")))
    with pytest.raises(StoreRefused) as caught:
        carry(store, "sync", store.create(store.key("h"), data, 60))
    assert "xyzzy" not in "".join(traceback.format_exception(caught.value))


def test_tls_means_verified(tmp_path: Path) -> None:
    files = Certificates.make(tmp_path)
    location = parse("postgresql+psycopg://u:p@h/db")
    found = connection_parameters(location, {"ca": str(files.ca)})
    assert found["sslmode"] == "verify-full"
    assert found["sslrootcert"] == str(files.ca)
    found = connection_parameters(location, {"sslmode": "verify-full"})
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", "system")
    assert "sslmode" not in connection_parameters(location, {})


@BOTH
def test_tls_is_not_given_up_for_a_server_without_it(
    postgres_server: PostgresServer, how: str, tmp_path: Path
) -> None:
    files = Certificates.make(tmp_path)
    store = open_store(f"{postgres_server.url}?ca={files.ca}", timeout=10)
    with pytest.raises(StoreRefused):
        carry(store, how, store.load(store.key("h")))
    store.close()
