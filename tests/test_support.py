"""The servers that other tests rely on really start, answer and end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support import children, http_servers, memcached_servers, servers


def test_redis_answers_on_its_unix_socket(redis_server: servers.RedisServer) -> None:
    with redis_server.client() as client:
        assert client.ping()


def test_redis_over_tls_wants_the_password(redis_tls_server: servers.RedisServer) -> None:
    assert redis_tls_server.certificates is not None
    url, ca = redis_tls_server.url.partition("?")[0], str(redis_tls_server.certificates.ca)
    with redis.Redis.from_url(url, ssl_ca_certs=ca) as client:
        assert client.ping()
    anonymous = url.replace(url[len("rediss://") : url.index("@") + 1], "")
    never = Retry(NoBackoff(), 0)  # redis-py would try a missing password eleven times
    with (
        redis.Redis.from_url(anonymous, ssl_ca_certs=ca, retry=never) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_postgres_answers(postgres_server: servers.PostgresServer) -> None:
    url = postgres_server.url.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_memcached_answers(memcached_server: memcached_servers.MemcachedServer) -> None:
    assert servers.answers(memcached_server.socket, b"mn\r\n")


def test_a_server_is_gone_after_its_block() -> None:
    with servers.run_redis() as server:
        assert server.child.process.poll() is None
    assert server.child.process.poll() == 0
    assert not server.directory.exists()


def test_a_server_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(children.StartError, match="no-such-option"),
        servers.run_redis("--no-such-option", "1"),
    ):
        pass


ASGI_APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"asgi"})
"""
WSGI_APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]
"""


@pytest.mark.parametrize(
    ("serve", "source", "body"),
    [
        (http_servers.serve_asgi, ASGI_APP, b"asgi"),
        (http_servers.serve_wsgi, WSGI_APP, b"wsgi"),
    ],
    ids=["uvicorn", "gunicorn"],
)
def test_an_app_is_served_by_two_workers(
    serve: Callable[..., AbstractContextManager[http_servers.HttpServer]],
    source: str,
    body: bytes,
    tmp_path: Path,
) -> None:
    (tmp_path / "served_app.py").write_text(source)
    with serve("served_app:app", workers=2, env={"PYTHONPATH": str(tmp_path)}) as server:
        assert httpx.get(server.url).content == body
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_async_tests_run_without_a_marker(anyio_backend_name: str) -> None:
    assert anyio_backend_name == "asyncio"
