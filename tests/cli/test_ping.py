from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessionstore import MemoryStore, StoreError, StoreFull, StoreRefused
from sessionstore.cli import ping as module
from sessionstore.core.flow import Command
from tests.cli.conftest import Invoke
from tests.support.memcached_servers import MemcachedServer
from tests.support.servers import PostgresServer, RedisServer

STEPS = ["connect", "create", "load", "replace", "delete"]


def test_names_every_step(invoke: Invoke) -> None:
    result = invoke("ping", "memory://")
    assert result.exit_code == 0
    assert [word for word in result.output.split() if word in STEPS] == STEPS


def test_json(invoke: Invoke) -> None:
    result = invoke("ping", "--json", "memory://")
    document = json.loads(result.output)
    assert document["ok"] is True
    assert list(document["milliseconds"]) == STEPS
    assert all(spent >= 0 for spent in document["milliseconds"].values())


def test_names_the_server(invoke: Invoke, redis_server: RedisServer, prefix: str) -> None:
    url = f"{redis_server.url}?prefix={prefix}"
    with redis_server.client() as client:
        version = client.info("server")["redis_version"]
    assert version in json.loads(invoke("ping", "--json", url).output)["server"]
    assert version in invoke("ping", url).output


def test_names_the_database(
    invoke: Invoke, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    for url, name in ((f"sqlite:///{tmp_path}/s.db", "SQLite "), (postgres_server.url, "Postgre")):
        result = invoke("ping", "--json", url)
        assert result.exit_code == 0, result.output
        assert json.loads(result.output)["server"].startswith(name)


@pytest.mark.parametrize("protocol", ["meta", "binary"])
def test_names_memcached(
    invoke: Invoke, memcached_server: MemcachedServer, prefix: str, protocol: str
) -> None:
    url = f"{memcached_server.url}?prefix={prefix}&timeout=10&protocol={protocol}"
    result = invoke("ping", "--json", url)
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["server"].startswith("memcached 1.")


def test_probes_under_the_prefix_and_leaves_nothing(
    invoke: Invoke, redis_server: RedisServer, prefix: str
) -> None:
    with redis_server.client() as client, client.monitor() as monitor:
        # A replica of what the server was asked: every key that any command named.
        assert invoke("ping", f"{redis_server.url}?prefix={prefix}").exit_code == 0
        client.echo("the end")
        commands = []
        while "the end" not in (command := monitor.next_command()["command"]):
            commands.append(command)
        assert client.keys(f"{prefix}*") == []
    writes = [command for command in commands if " PX " in command or "EVAL" in command]
    assert len(writes) >= 3
    assert all(f"{prefix}:s:" in command for command in writes)


def test_the_probe_expires_if_it_cannot_be_deleted(invoke: Invoke, store: MemoryStore) -> None:
    ttls: list[float] = []
    real = store.execute

    def execute(command: Command[Any], deadline: float) -> Any:
        if command.request[0] in ("create", "replace"):
            ttls.append(command.request[3])
        if command.request[0] == "delete":
            raise StoreRefused("no permission (NOPERM)")
        return real(command, deadline)

    store.execute = execute  # type: ignore[method-assign]
    result = invoke("ping", "memory://")
    assert result.exit_code == 1
    assert result.stderr == "delete failed. The store refuses us: no permission (NOPERM)\n"
    assert ttls == [60, 60]


def test_the_probe_is_no_session(invoke: Invoke, store: MemoryStore) -> None:
    """Its format byte is one that no record has, so that nothing could take it for one."""
    values: list[bytes] = []
    real = store.execute

    def execute(command: Command[Any], deadline: float) -> Any:
        if command.request[0] in ("create", "replace"):
            values.append(command.request[2])
        return real(command, deadline)

    store.execute = execute  # type: ignore[method-assign]
    assert invoke("ping", "memory://").exit_code == 0
    assert [value[0] for value in values] == [0, 0]
    assert values[0][1:13] != values[1][1:13]


@pytest.mark.parametrize("as_json", [False, True])
def test_says_in_plain_words_why_it_failed(
    invoke: Invoke, store: MemoryStore, as_json: bool
) -> None:
    def execute(command: Command[Any], deadline: float) -> Any:
        if command.write:
            raise StoreFull("the server is out of memory (OOM)", node="db:6379")
        return None

    store.execute = execute  # type: ignore[method-assign]
    result = invoke("ping", "memory://", *(["--json"] if as_json else []))
    reason = "The store takes no writes: the server is out of memory (OOM) (db:6379)"
    assert result.exit_code == 1
    if as_json:
        document = json.loads(result.stdout)
        assert document == {
            "ok": False,
            "store": "memory://",
            "server": None,
            "nodes": [],
            "milliseconds": document["milliseconds"],
            "failed": "create",
            "error": "StoreFull",
            "reason": reason,
        }
        assert list(document["milliseconds"]) == ["connect"]
    else:
        assert result.stderr == f"create failed. {reason}\n"


def _forgets(request: tuple[Any, ...], reply: Any) -> Any:
    return None if request[0] == "load" else reply


def _changes(request: tuple[Any, ...], reply: Any) -> Any:
    return reply._replace(value=b"other") if request[0] == "load" and reply else reply


def _refuses(verb: str) -> Callable[[tuple[Any, ...], Any], Any]:
    from sessionstore.core.verbs import Missing

    return lambda request, reply: Missing() if request[0] == verb else reply


@pytest.mark.parametrize(
    ("step", "tamper"),
    [
        ("load", _forgets),
        ("load", _changes),
        ("replace", _refuses("replace")),
        ("delete", _refuses("delete")),
    ],
)
def test_a_store_that_answers_wrongly_is_found_out(
    invoke: Invoke, store: MemoryStore, step: str, tamper: Callable[[tuple[Any, ...], Any], Any]
) -> None:
    real = store.execute

    def execute(command: Command[Any], deadline: float) -> Any:
        return tamper(command.request, real(command, deadline))

    store.execute = execute  # type: ignore[method-assign]
    result = invoke("ping", "memory://")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{step} failed. It answers, but not as a store")


def test_no_password_is_shown(invoke: Invoke, redis_tls_server: RedisServer, prefix: str) -> None:
    url = redis_tls_server.url
    assert "correct%20horse" in url
    good = invoke("ping", f"{url}&prefix={prefix}")
    bad = invoke("ping", f"{url.replace('correct', 'wrong')}&prefix={prefix}")
    both = invoke("ping", f"{url}&prefix={prefix}", "--json")
    assert (good.exit_code, bad.exit_code, both.exit_code) == (0, 1, 0), bad.output
    assert "The store refuses us" in bad.stderr
    for result in (good, bad, both):
        assert "horse" not in result.output
        assert "rediss://default:***@localhost:" in result.stdout


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:hunter2@host:port/0",
        "redis://me:hunter2@host:6379/0?typo=1",
        "redis://me:hunter2/x@host/0",
        "valkey://me:hunter2@host/0",
        "me:hunter2@host",
    ],
)
def test_a_wrong_url_is_a_usage_error_that_quotes_no_password(invoke: Invoke, url: str) -> None:
    result = invoke("ping", url)
    assert result.exit_code == 2
    assert "hunter2" not in result.output
    assert "Traceback" not in result.output


def test_without_a_url_it_says_where_to_put_one(invoke: Invoke) -> None:
    result = invoke("ping")
    assert result.exit_code == 2
    assert "SESSIONSTORE_URL" in result.stderr


def test_the_url_may_come_from_the_environment(invoke: Invoke) -> None:
    assert invoke("ping", SESSIONSTORE_URL="memory://").exit_code == 0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6380/2?timeout=1", "redis://h:6380/2"),
        ("redis://:p@[::1]:6380", "redis://:***@[::1]:6380"),
        ("rediss://u:p%40@a,b:1/0", "rediss://u:***@a,b:1/0"),
        ("sqlite:///sessions.db", "sqlite:///sessions.db"),
    ],
)
def test_how_a_url_is_shown(url: str, shown: str) -> None:
    assert module.display_url(url) == shown


def test_every_kind_of_store_error_has_its_words() -> None:
    from sessionstore.cli.common import in_plain_words

    for kind in StoreError.__subclasses__():
        if kind.__name__ != "ConflictUnresolved":  # a ping has no competitors
            assert in_plain_words(kind("why")).endswith(": why"), kind


def test_a_user_who_may_not_write_is_told(
    invoke: Invoke, redis_server: RedisServer, prefix: str
) -> None:
    with redis_server.client() as client:
        client.acl_setuser(
            prefix,
            enabled=True,
            passwords=["+the-password"],
            keys=[f"{prefix}:*"],
            commands=["+get"],
        )
        try:
            scheme, _, path = redis_server.url.partition("://")
            result = invoke("ping", f"{scheme}://{prefix}:the-password@{path}?prefix={prefix}")
        finally:
            client.acl_deluser(prefix)
    assert result.exit_code == 1
    assert "failed. The store refuses us: " in result.stderr
    assert "the-password" not in result.output
