"""A password is rotated under load, ROTATE and then SET: no request fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sessionstore.core.errors import StoreRefused
from sessionstore.stores import credentials
from sessionstore.stores.base import Store
from sessionstore.stores.url import open_store
from tests.stores.conftest import LEAST_PRIVILEGE
from tests.support.rotation import drill
from tests.support.servers import RedisServer

FIRST = "the-first-password"
ROUNDS = 5


@pytest.fixture
def user(redis_tls_server: RedisServer, prefix: str) -> Iterator[str]:
    with redis_tls_server.client() as client:
        rules = ("on", f">{FIRST}", f"~{prefix}:s:*", *LEAST_PRIVILEGE)
        client.execute_command("ACL", "SETUSER", prefix, *rules)
        yield prefix
        client.acl_deluser(prefix)


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Often, so that connections log in again at each step of the rotation.
    monkeypatch.setattr(credentials, "WATCH_SECONDS", 0.005)
    path = tmp_path / "password"
    path.write_text(FIRST)
    return path


def opened(server: RedisServer, login: str, prefix: str, more: str) -> Store:
    """By TLS, as ElastiCache wants it."""
    assert server.certificates is not None
    port = server.url.rpartition(":")[2].partition("/")[0]
    ca = quote(str(server.certificates.ca))
    return open_store(f"rediss://{login}@localhost:{port}?ca={ca}{more}", prefix=prefix, timeout=10)


def test_no_request_fails(redis_tls_server: RedisServer, user: str, secret: Path) -> None:
    store = opened(redis_tls_server, user, user, f"&auth=file&password_file={secret}")
    with redis_tls_server.client() as client:
        report = drill(client, store, user, secret, ROUNDS)
        refused = [entry for entry in client.acl_log() if entry["username"] == user]
    store.close()
    assert report.errors == []
    assert refused == []
    # Each round has three steps, in each of which there was this much at least.
    assert report.sync > 30 * ROUNDS
    assert report.asynchronous > 30 * ROUNDS
    assert report.connections > 6 * ROUNDS


def test_the_drill_sees_what_fails(redis_tls_server: RedisServer, user: str, secret: Path) -> None:
    """A password that stays as it was at start-up."""
    store = opened(redis_tls_server, f"{user}:{FIRST}", user, "")
    with redis_tls_server.client() as client:
        report = drill(client, store, user, secret, 1)
    store.close()
    assert report.errors
    assert {type(error) for error in report.errors} == {StoreRefused}
