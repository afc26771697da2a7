"""docs/reference/stores.md has every URL and option that exists; its ACL and its table will do."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from sessionstore import open_store
from sessionstore.cli.app import cli
from sessionstore.core.flow import run
from sessionstore.stores.base import DEFAULT_PREFIX, DEFAULT_TIMEOUT
from sessionstore.stores.url import SCHEMES
from tests.support.certificates import Certificates
from tests.support.servers import PostgresServer, RedisServer

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "reference" / "stores.md").read_text()
EXAMPLES = re.findall(r"^(?:redis|memcached|sqlite|postgres)\S*://\S+", PAGE, re.MULTILINE)
REDIS = {scheme for scheme in SCHEMES if scheme.startswith("redis")}
GROUPS = {
    "all": set(SCHEMES),
    "Redis": REDIS,
    "Redis over TCP": REDIS - {"redis+unix"},
    "Redis with TLS": {"rediss", "rediss+sentinel", "rediss+cluster"},
    "Sentinel": {"redis+sentinel", "rediss+sentinel"},
    "Sentinel with TLS": {"rediss+sentinel"},
    "Memcached": {scheme for scheme in SCHEMES if scheme.startswith("memcached")},
    "Memcached with TLS": {"memcacheds", "memcacheds+discover"},
    "Auto Discovery": {"memcached+discover", "memcacheds+discover"},
    "SQL": {"sqlite", "postgresql", "postgresql+psycopg"},
    "PostgreSQL": {"postgresql", "postgresql+psycopg"},
}


def schemes(where: str) -> set[str]:
    found: set[str] = set()
    for name in where.split(", "):
        found |= GROUPS.get(name) or {name.strip("`").removesuffix("://")}
    return found


def documented(columns: int) -> dict[str, set[str]]:
    """Scheme to options, by the tables that have so many columns and begin with `option`."""
    result: dict[str, set[str]] = {scheme: set() for scheme in SCHEMES}
    for table in re.findall(r"^\| option \|.*?\n\n", PAGE, re.MULTILINE | re.DOTALL):
        for row in table.splitlines()[2:]:
            cells = [cell.strip() for cell in row.strip("|\n").split("|")]
            if len(cells) == columns:
                for scheme in schemes(cells[1]):
                    result[scheme] |= set(re.findall(r"`(\w+)`", cells[0]))
    return result


def test_every_url_is_there() -> None:
    table = PAGE.partition("\n## ")[0]
    urls = set(re.findall(r"`([a-z+]+)://`", table))
    assert urls == set(SCHEMES)


def test_every_option_is_where_it_belongs() -> None:
    expected = {name: {"timeout", "prefix", *scheme.options} for name, scheme in SCHEMES.items()}
    assert documented(columns=4) == expected


def test_options_for_code_alone() -> None:
    assert documented(columns=3) == {name: set(scheme.code) for name, scheme in SCHEMES.items()}


def test_extras() -> None:
    for name, scheme in SCHEMES.items():
        row = next(
            row for row in PAGE.splitlines() if row.startswith("|") and f"`{name}://`" in row
        )
        assert row.rstrip("| ").endswith(f"`{scheme.extra}`") or not scheme.extra


def test_defaults() -> None:
    assert f"| `timeout` | all | `{DEFAULT_TIMEOUT}` |" in PAGE
    assert f"| `prefix` | all | `{DEFAULT_PREFIX}` |" in PAGE
    from sessionstore.stores.memcached.discovery import DEFAULT_POLL
    from sessionstore.stores.memcached.store import DEFAULT_MAX_CONNECTIONS as MEMCACHED
    from sessionstore.stores.redis.store import DEFAULT_MAX_CONNECTIONS as REDIS
    from sessionstore.stores.sql.postgres import DEFAULT_MAX_CONNECTIONS as POSTGRES
    from sessionstore.stores.sql.sqlite import DEFAULT_MAX_CONNECTIONS as SQLITE
    from sessionstore.stores.sql.statements import DEFAULT_TABLE

    assert f"| `max_connections` | Redis, Memcached | {REDIS} |" in PAGE
    assert MEMCACHED == REDIS
    assert f"| `poll` | Auto Discovery | {DEFAULT_POLL:g} |" in PAGE
    assert f"| `max_connections` | SQL | {SQLITE} |" in PAGE
    assert POSTGRES == SQLITE
    assert f"| `table` | SQL | `{DEFAULT_TABLE}` |" in PAGE


@pytest.mark.parametrize("url", EXAMPLES)
def test_every_example_is_a_url_that_can_be_opened(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    authority = str(Certificates.make(tmp_path).ca)
    url = url.replace("/etc/ssl/our-ca.pem", authority).replace("/var/lib/app", str(tmp_path))
    open_store(url).close()


def test_the_acl_is_enough_and_not_more(redis_server: RedisServer, prefix: str) -> None:
    """Ping does what sessions do; without any of the commands it fails."""
    line = re.search(r"^ACL SETUSER app (.*)$", PAGE, re.MULTILINE)
    assert line
    rules = line[1].replace("~session:", f"~{prefix}:").split()
    commands = [rule for rule in rules if rule.startswith("+")]
    scheme, _, path = redis_server.url.partition("://")
    url = f"{scheme}://{prefix}:secret@{path}?prefix={prefix}"
    with redis_server.client() as client:
        try:
            client.execute_command("ACL", "SETUSER", prefix, *rules)
            client.script_flush()  # so that EVAL is needed as well
            for _ in range(2):
                result = CliRunner().invoke(cli, ["ping", "--json", url])
                assert json.loads(result.stdout)["ok"], result.stdout
            for command in commands:
                client.execute_command("ACL", "SETUSER", prefix, f"-{command[1:]}")
                client.script_flush()
                result = CliRunner().invoke(cli, ["ping", "--json", url])
                assert json.loads(result.stdout)["error"] == "StoreRefused", command
                client.execute_command("ACL", "SETUSER", prefix, command)
        finally:
            client.acl_deluser(prefix)


@pytest.mark.once
def test_the_acl_ends_at_the_prefix(redis_server: RedisServer, prefix: str) -> None:
    line = re.search(r"^ACL SETUSER app (.*)$", PAGE, re.MULTILINE)
    assert line
    scheme, _, path = redis_server.url.partition("://")
    with redis_server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", prefix, *line[1].replace("~session:", f"~{prefix}:").split()
        )
        try:
            for other in ("session", f"{prefix}x", prefix[:-1]):
                url = f"{scheme}://{prefix}:secret@{path}?prefix={other}"
                result = CliRunner().invoke(cli, ["ping", "--json", url])
                assert json.loads(result.stdout)["error"] == "StoreRefused", other
        finally:
            client.acl_deluser(prefix)


def test_the_table_is_the_one_that_is_used(postgres_server: PostgresServer, prefix: str) -> None:
    """Made by hand from the page, used by a role that may not make one."""
    name = prefix.replace("-", "_")
    sql = re.search(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert sql
    dsn = postgres_server.url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql[1].replace("sessionstore_sessions", name).encode())
        connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {name}".encode())
    store = open_store(
        postgres_server.url.replace("tests@", f"{name}:x@"), table=name, timeout=10, prefix=prefix
    )
    try:
        deadline = time.monotonic() + 10
        key, value = store.key("0123456789abcdef"), b"\x01" + bytes(12)
        run(store.create(key, value, 60), lambda command: store.execute(command, deadline))
        entry = run(store.load(key), lambda command: store.execute(command, deadline))
        assert entry is not None
        assert entry.value == value
    finally:
        store.close()
