"""The command, over real servers as people run them."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sessionstore import MemoryStore, SessionConfig, SessionManager, open_store
from sessionstore.cli import common
from sessionstore.core.flow import run
from sessionstore.stores.base import Store
from sessionstore.stores.facts import RedisFacts, SqlFacts
from tests.cli.conftest import SECRET, Invoke
from tests.support.children import Child, accepts, on_free_port, require_binary, scratch_directory
from tests.support.memcached_servers import (
    run_memcached,
    run_memcached_ascii,
    run_memcached_ring,
    run_memcached_tls,
)
from tests.support.servers import (
    NOTHING_ON_DISK,
    PostgresServer,
    RedisServer,
    run_redis,
    run_redis_tls,
)


def looked(invoke: Invoke, url: str, status: int, *options: str) -> dict[str, tuple[str, str]]:
    """What it says about each thing: the severity, and the words."""
    result = invoke("doctor", "--json", *options, url)
    assert result.exit_code == status, result.output
    document = json.loads(result.stdout)
    assert document["ok"] is (status == 0)
    return {
        finding["id"]: (finding["severity"], f"{finding['what']} {finding['to_do']}")
        for finding in document["findings"]
    }


def write_sessions(url: str, count: int, length: int = 100, *, compressible: bool = True) -> None:
    store = open_store(url, timeout=10)
    manager = SessionManager(store, SessionConfig(secret_key=SECRET))
    for _ in range(count):
        session = manager.open(None)
        random = base64.b64encode(os.urandom(length)).decode()[:length]
        session["text"] = "x" * length if compressible else random
        manager.commit(session)
    store.close()


@pytest.fixture(scope="module")
def evicting() -> Iterator[RedisServer]:
    with run_redis("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as server:
        yield server


def test_a_cache_that_evicts(invoke: Invoke, evicting: RedisServer, prefix: str) -> None:
    found = looked(invoke, f"{evicting.url}?prefix={prefix}", 1)
    assert found["eviction"][0] == "error"
    assert "allkeys-lru" in found["eviction"][1]
    assert "a restart logs everybody out" in found["persistence"][1]
    assert found["replicas"][0] == "warning"
    assert found["user"][0] == "warning"
    assert found["transport"][0] == "ok"
    assert "not-allowed" not in found
    with evicting.client() as client:
        assert client.keys(f"{prefix}*") == [], "the probe is gone"


def test_headroom_is_counted_in_sessions(
    invoke: Invoke, evicting: RedisServer, prefix: str
) -> None:
    url = f"{evicting.url}?prefix={prefix}"
    probed = looked(invoke, url, 1)["memory"]
    assert "(a probe, as there are none)" in probed[1]
    with evicting.client() as client:
        before = client.info("memory")["used_memory"]
        # So large that connections' buffers, which come and go by 16 KiB, are nothing beside them.
        write_sessions(url, 60, length=40_000, compressible=False)
        took = (client.info("memory")["used_memory"] - before) / 60
    measured = looked(invoke, url, 1)["memory"]
    assert measured[0] == "ok"
    words = measured[1].split()
    each = int(words[words.index("takes") + 1].replace(",", ""))
    assert "(the mean of 50)" in measured[1]
    assert each == pytest.approx(took, rel=0.2), "as the server's own count has it"
    room = int(words[words.index("room") + 2].replace(",", ""))
    assert room == pytest.approx((50 * 2**20 - before - 60 * took) / took, rel=0.25)


def test_an_append_only_file(invoke: Invoke, tmp_path: Path) -> None:
    files = ("--dir", str(tmp_path), "--appendonly", "yes", "--appendfsync")
    with run_redis(*files, "always", "--maxmemory", "1gb") as server:
        found = looked(invoke, server.url, 1)
        assert found["persistence"] == (
            "ok",
            "Append-only file, on disk before a write is acknowledged. ",
        )
        with server.client() as client:
            client.config_set("appendfsync", "everysec")
            assert looked(invoke, server.url, 1)["persistence"][0] == "note"
            client.config_set("appendonly", "no")
            client.config_set("save", "3600 1")
            assert "save 3600 1" in looked(invoke, server.url, 1)["persistence"][1]


def test_valkey(invoke: Invoke, valkey_server: RedisServer, prefix: str) -> None:
    found = looked(invoke, f"{valkey_server.url}?prefix={prefix}", 1)
    assert "not-allowed" not in found
    assert re.match(r"valkey \d+\.\d+\.\d+ has all that sessions need\.", found["version"][1])
    assert {"eviction", "memory", "persistence", "replicas", "transport", "user"} < set(found)


def test_tls(invoke: Invoke, prefix: str) -> None:
    with run_redis_tls() as server:
        url = f"{server.url}&prefix={prefix}"
        found = looked(invoke, url, 1)
        assert found["transport"] == ("ok", "TLS, with chain and host name verified. ")
        assert "without a password" not in found["user"][1]
        output = invoke("doctor", url).output
    assert "rediss://default:***@localhost:" in output
    assert "horse" not in output


@contextmanager
def primary() -> Iterator[tuple[str, int]]:
    """A primary on a TCP port, as replicas need it."""
    program = require_binary("redis-server", "redis-server")
    at_once = ("--repl-diskless-sync-delay", "0")
    with scratch_directory() as directory:

        def start(port: int) -> Child:
            listen = ["--port", str(port), "--bind", "127.0.0.1"]
            return Child([program, *listen, *at_once, *NOTHING_ON_DISK], directory)

        with on_free_port(start, accepts) as (port, _):
            yield f"redis://127.0.0.1:{port}", port


def test_a_replica_and_its_primary(invoke: Invoke) -> None:
    with primary() as (url, port), run_redis("--replicaof", "127.0.0.1", str(port)) as replica:
        with replica.client() as client:
            replica.child.wait_until(
                lambda: client.info("replication")["master_link_status"] == "up"
            )
        assert looked(invoke, f"{replica.url}?timeout=2", 1)["role"][0] == "error"
        found = looked(invoke, url, 1)
        assert found["replicas"] == ("ok", "1 replica connected. ")
        assert "role" not in found


DOCS = Path(__file__).resolve().parents[2] / "docs"


def documented_rules(page: str, user: str) -> tuple[str, ...]:
    """What a page says that a user may, without its keys."""
    line = re.search(rf"^ACL SETUSER {user} (.*)$", (DOCS / page).read_text(), re.MULTILINE)
    assert line
    return tuple(rule for rule in line[1].split() if rule.startswith("+"))


LOOKING = documented_rules("how-to/check-a-server.md", "doctor")
SESSIONS = documented_rules("reference/stores.md", "app")


@pytest.fixture
def user(redis_server: RedisServer, prefix: str) -> Iterator[Any]:
    """Makes the user of this test with these rules; gives its URL."""
    path = redis_server.url.partition("://")[2]

    def make(*rules: str) -> str:
        with redis_server.client() as client:
            client.execute_command("ACL", "SETUSER", prefix, "reset", "on", ">secret", *rules)
        return f"redis+unix://{prefix}:secret@{path}?prefix={prefix}"

    yield make
    with redis_server.client() as client:
        client.acl_deluser(prefix)


def test_a_user_who_may_not_look_is_no_failure(invoke: Invoke, user: Any, prefix: str) -> None:
    found = looked(invoke, user(f"~{prefix}:s:*", "nocommands", *SESSIONS), 0, "--fail-on", "note")
    assert {name: severity for name, (severity, _) in found.items()} == {
        "not-allowed": "unknown",
        "version": "ok",
        "transport": "ok",
    }
    commands = "INFO, CONFIG GET, ACL WHOAMI, SCAN, MEMORY USAGE"
    assert found["not-allowed"][1].startswith(f"Not allowed to look: {commands}. As it should be")


@pytest.mark.parametrize("left_out", LOOKING[1:])
def test_each_command_may_be_refused(invoke: Invoke, user: Any, prefix: str, left_out: str) -> None:
    rules = [rule for rule in LOOKING if rule != left_out]
    found = looked(invoke, user(f"~{prefix}:s:*", "nocommands", *SESSIONS, *rules), 1)
    asked = left_out[1:].replace("|", " ").upper()
    assert found["not-allowed"][0] == "unknown"
    assert found["not-allowed"][1].startswith(f"Not allowed to look: {asked}. ")


def test_a_user_who_may_only_look(invoke: Invoke, user: Any, prefix: str) -> None:
    found = looked(invoke, user(f"%R~{prefix}:s:*", "nocommands", *LOOKING), 1)
    assert "not-allowed" not in found
    assert found["permissions"][0] == "ok"
    assert "A session takes" not in found["memory"][1], "there is none, and no probe was allowed"


def test_a_user_who_may_too_much(invoke: Invoke, user: Any, prefix: str) -> None:
    found = looked(invoke, user(f"~{prefix}:*", "~other:*", "+@all", "-flushall"), 1)
    severity, words = found["permissions"]
    assert severity == "warning"
    assert "run +@all and use the keys ~other:*." in words


def test_selectors_count_as_well(invoke: Invoke, user: Any, prefix: str) -> None:
    rules = (f"~{prefix}:*", "nocommands", *SESSIONS, *LOOKING, "(+@all ~*)")
    assert "use the keys ~*" in looked(invoke, user(*rules), 1)["permissions"][1]


def test_a_user_who_may_not_even_get(invoke: Invoke, user: Any, prefix: str) -> None:
    found = looked(invoke, user(f"~{prefix}:*", "nocommands", "+info"), 1)
    assert list(found) == ["unusable"]
    assert "NOPERM" in found["unusable"][1]


@pytest.mark.parametrize("options", [(), ("--json",), ("--fail-on", "error")])
def test_a_server_that_is_not_there(
    invoke: Invoke, tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = invoke("doctor", f"redis+unix://{tmp_path}/none.sock", *options)
    assert result.exit_code == 1
    assert "cannot be reached" in result.stdout


def test_sqlite(invoke: Invoke, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"
    found = looked(invoke, url, 0)
    assert {name: severity for name, (severity, _) in found.items()} == {
        "one-machine": "note",
        "purge": "ok",
        "journal": "ok",
    }
    days = 24 * 3600
    expire(open_store(url, clock=lambda: time.time() - 3 * days), 7)
    assert looked(invoke, url, 1)["purge"][1].startswith(
        "7 expired rows wait to be purged, the oldest for 2 days. "
    )
    assert invoke("purge", url).exit_code == 0
    assert looked(invoke, url, 0)["purge"][0] == "ok"


def expire(store: Store, count: int) -> None:
    """Store rows that ended an hour later."""
    for number in range(count):
        flow = store.create(store.key(f"{number:016d}"), bytes(20), 3600)
        run(flow, lambda command: store.execute(command, time.monotonic() + 5))
    store.close()


def test_a_sqlite_file_without_a_write_ahead_log(invoke: Invoke, store: MemoryStore) -> None:
    """As on a network file system: what it then says is in test_diagnosis."""

    def examine() -> Any:
        yield from ()
        return SqlFacts("SQLite 3", journal="delete", expired=0)

    store.examine = examine  # type: ignore[method-assign]
    assert looked(invoke, "memory://", 1)["journal"][0] == "warning"


def test_postgresql(invoke: Invoke, postgres_server: PostgresServer, prefix: str) -> None:
    table = prefix.replace("-", "_")
    found = looked(invoke, f"{postgres_server.url}?table={table}&timeout=10", 1)
    assert {name: severity for name, (severity, _) in found.items()} == {
        "user": "warning",
        "purge": "ok",
        "transport": "ok",
    }


# -- Memcached --


@pytest.fixture(scope="module", params=["meta", "binary"])
def memcached(request: pytest.FixtureRequest) -> Iterator[str]:
    with run_memcached("-m", "64") as server:
        yield f"{server.url}?timeout=10&protocol={request.param}"


def test_an_open_memcached_server(invoke: Invoke, memcached: str) -> None:
    found = looked(invoke, memcached, 1)
    assert {name: severity for name, (severity, _) in found.items()} == {
        "user": "warning",
        "persistence": "note",
        "version": "ok",
        "eviction": "ok",
        "memory": "ok",
        "hit-rate": "ok",
        "item-size": "ok",
        "transport": "ok",
    }
    assert "(flush_all)" in found["user"][1]
    assert "(a probe, as there are none)" in found["memory"][1]
    assert re.match(r"memcached \d+\.\d+\.\d+ has all", found["version"][1])


def test_memcacheds_headroom_is_counted_in_sessions(invoke: Invoke, memcached: str) -> None:
    write_sessions(memcached, 60, length=10_000, compressible=False)
    words = looked(invoke, memcached, 1)["memory"][1].split()
    each = int(words[words.index("takes") + 1].replace(",", ""))
    # It is compressed by a quarter; chunks are 25 % apart at most.
    assert 7_500 < each < 10_000
    room = int(words[words.index("room") + 2].replace(",", ""))
    assert room == pytest.approx((64 * 2**20 - 60 * each) / each, rel=0.05)


def test_a_memcached_server_that_has_evicted(invoke: Invoke) -> None:
    with run_memcached("-m", "2", "-t", "1") as server:
        url = f"{server.url}?timeout=10"
        write_sessions(url, 40, length=200_000, compressible=False)
        found = looked(invoke, url, 1)
        assert found["eviction"][0] == "error"
        assert found["memory"][0] == "warning"


def test_several_memcached_servers_of_which_one_is_dead(invoke: Invoke) -> None:
    with run_memcached_ring(2) as ring:
        url = f"{ring.url}?timeout=0.5"
        assert "127.0.0.1" not in looked(invoke, url, 1)["persistence"][1], "true of both"
        alive, dead = (server.url.removeprefix("memcached://") for server in ring.servers)
        ring.servers[1].child.stop()
        found = looked(invoke, url, 1)
        assert found["unusable"][1].startswith(f"{dead}: ")
        assert found["persistence"][1].startswith(f"{alive}: ")


@pytest.mark.parametrize("sasl", [True, False])
def test_a_memcached_server_that_asks(invoke: Invoke, sasl: bool) -> None:
    with run_memcached_tls(sasl=sasl) as server:
        found = looked(invoke, f"{server.url}&timeout=10", 0)
        assert found["transport"] == ("ok", "TLS, with chain and host name verified. ")
        assert ("SASL" if sasl else "-Y") in found["user"][1]
        output = invoke("doctor", f"{server.url}&timeout=10").output
    assert "memcacheds://app:***@localhost:" in output
    assert "p%40ss" not in output


def test_a_memcached_server_that_wants_to_be_asked_otherwise(invoke: Invoke) -> None:
    with run_memcached_ascii() as server:
        found = looked(invoke, f"memcached+unix://{server.socket}?timeout=10", 1)
    assert list(found) == ["unusable"]
    assert "wants a user name and password" in found["unusable"][1]


def test_memory(invoke: Invoke) -> None:
    assert looked(invoke, "memory://", 1)["one-process"][0] == "warning"


@pytest.mark.parametrize(
    ("level", "status"), [("note", 1), ("warning", 1), ("error", 0), ("nothing", 2)]
)
def test_what_fails_a_build_is_configurable(invoke: Invoke, level: str, status: int) -> None:
    assert invoke("doctor", "memory://", "--fail-on", level).exit_code == status


def test_the_table(invoke: Invoke) -> None:
    result = invoke("doctor", "memory://")
    assert result.exit_code == 1
    assert "warning" in result.stdout
    assert "what to do" in result.stdout
    assert not result.stderr


def test_a_server_does_not_steer_the_terminal(invoke: Invoke, store: MemoryStore) -> None:
    def examine() -> Any:
        yield from ()
        return RedisFacts("redis\x1b[31m 7", eviction="\x1b[2J")

    store.examine = examine  # type: ignore[method-assign]
    output = invoke("doctor", "memory://").output
    assert "\\x1b[2J" in output
    assert "\x1b" not in output


def test_a_store_that_tells_nothing(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(MemoryStore):
        examine = None  # type: ignore[assignment]

    monkeypatch.setattr(common, "open_store", lambda url: Closed())
    assert list(looked(invoke, "memory://", 0)) == ["not-examinable"]


def test_a_wrong_url_is_a_usage_error(invoke: Invoke) -> None:
    result = invoke("doctor", "redis://me:hunter2@host:port/0")
    assert result.exit_code == 2
    assert "hunter2" not in result.output
    assert invoke("doctor").exit_code == 2
