"""Real memcached servers as people run them, each a context manager: see ``servers.py``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from tests.support.certificates import Certificates
from tests.support.children import (
    Child,
    accepts,
    on_free_port,
    require_binary,
    scratch_directory,
)

USER = "app"
SASL_PASSWORD = "p@ss: w/rd?#%"
"""With everything that a URL must escape, and a space."""
ASCII_PASSWORD = "p@ss:w/rd?#%"
"""The same without the space, which ``-Y`` does not take."""


@dataclass(frozen=True)
class MemcachedServer:
    """A running memcached.

    :param url: for ``open_store``, with the password if there is one
    :param address: for a proxy in front of it
    :param certificates: where it speaks TLS
    :param files: what it reads, for tests that change it
    """

    url: str
    address: Path | tuple[str, int]
    child: Child
    certificates: Certificates | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        """The Unix socket."""
        assert isinstance(self.address, Path)
        return self.address

    def stats(self) -> dict[str, str]:
        """What an open server on a Unix socket tells, asked past everything that is tested."""
        lines = (line.decode().split(" ", 2) for line in self._ask(b"stats\r\n"))
        return {name: value for _, name, value in lines}

    def stored(self) -> list[bytes]:
        """Every key of an open server on a Unix socket."""
        lines = self._ask(b"lru_crawler metadump hash\r\n")
        return [unquote_to_bytes(line.split(b" ")[0].removeprefix(b"key=")) for line in lines]

    def put(self, key: bytes, value: bytes, flags: int) -> None:
        """Store a value on an open server on a Unix socket, past the store."""
        self._ask(b"set %b %d 0 %d\r\n%b\r\n" % (key, flags, len(value), value), b"STORED\r\n")

    def _ask(self, request: bytes, end: bytes = b"END\r\n") -> list[bytes]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket))
            connection.sendall(request)
            reply = b""
            while not reply.endswith(end):
                reply += connection.recv(65536)
        return reply.splitlines()[:-1]


@contextmanager
def run_memcached(*options: str) -> Iterator[MemcachedServer]:
    """memcached on a Unix socket, with further command line options."""
    with scratch_directory() as directory, _on_unix_socket(directory, options) as (path, child):
        yield MemcachedServer(f"memcached+unix://{path}", path, child)


@contextmanager
def run_memcached_ascii(*options: str) -> Iterator[MemcachedServer]:
    """memcached that asks for a password in the text protocol (``-Y``)."""
    with scratch_directory() as directory:
        users = directory / "users"
        users.write_text(f"{USER}:{ASCII_PASSWORD}\n")
        with _on_unix_socket(directory, ("-Y", str(users), *options)) as (path, child):
            url = f"memcached+unix://{_login(ASCII_PASSWORD)}@{path}?protocol=meta"
            yield MemcachedServer(url, path, child, files={"users": users})


@contextmanager
def run_memcached_sasl(*options: str) -> Iterator[MemcachedServer]:
    """memcached that asks for a password by SASL, and speaks the binary protocol alone."""
    with scratch_directory() as directory:
        env = _sasl(directory)
        sasl = ("-S", "-B", "binary", *options)
        with _on_unix_socket(directory, sasl, env) as (path, child):
            url = f"memcached+unix://{_login(SASL_PASSWORD)}@{path}"
            yield MemcachedServer(url, path, child)


@contextmanager
def run_memcached_tls(*, sasl: bool = False, mutual: bool = False) -> Iterator[MemcachedServer]:
    """memcached that speaks TLS on a TCP port, and asks for a password in either way.

    :param mutual: it asks for a client's certificate as well; the URL has it
    """
    program = require_binary("memcached", "memcached")
    with scratch_directory() as directory:
        files = Certificates.make(directory)
        tls = f"ssl_chain_cert={files.server},ssl_key={files.server_key}"
        if mutual:
            tls += f",ssl_verify_mode=2,ssl_ca_cert={files.ca}"
        if sasl:
            env, password, login = _sasl(directory), SASL_PASSWORD, ["-S", "-B", "binary"]
        else:
            users = directory / "users"
            users.write_text(f"{USER}:{ASCII_PASSWORD}\n")
            env, password, login = {}, ASCII_PASSWORD, ["-Y", str(users)]

        def start(port: int) -> Child:
            listen = ["-l", "127.0.0.1", "-p", str(port), "-U", "0", *_as_root()]
            return _child([program, *listen, "-Z", "-o", tls, *login], directory, env)

        with on_free_port(start, accepts) as (port, child):
            url = f"memcacheds://{_login(password)}@localhost:{port}?ca={quote(str(files.ca))}"
            url += f"&protocol={'binary' if sasl else 'meta'}"
            if mutual:
                url += f"&cert={quote(str(files.client))}&key={quote(str(files.client_key))}"
            yield MemcachedServer(url, ("127.0.0.1", port), child, files)


@contextmanager
def run_memcached_tcp(*options: str) -> Iterator[MemcachedServer]:
    """memcached on a TCP port, open to everybody on this machine."""
    program = require_binary("memcached", "memcached")
    with scratch_directory() as directory:

        def start(port: int) -> Child:
            listen = ["-l", "127.0.0.1", "-p", str(port), "-U", "0", *_as_root()]
            return _child([program, *listen, *options], directory)

        with on_free_port(start, accepts) as (port, child):
            yield MemcachedServer(f"memcached://127.0.0.1:{port}", ("127.0.0.1", port), child)


@dataclass(frozen=True)
class MemcachedRing:
    """Several servers that a store spreads its sessions over.

    :param url: names all of them
    """

    url: str
    servers: tuple[MemcachedServer, ...]


@contextmanager
def run_memcached_ring(count: int, *options: str) -> Iterator[MemcachedRing]:
    """Several open memcached on TCP ports."""
    with ExitStack() as stack:
        servers = tuple(stack.enter_context(run_memcached_tcp(*options)) for _ in range(count))
        hosts = ",".join(server.url.removeprefix("memcached://") for server in servers)
        yield MemcachedRing(f"memcached://{hosts}", servers)


@contextmanager
def _on_unix_socket(
    directory: Path, options: tuple[str, ...], env: Mapping[str, str] | None = None
) -> Iterator[tuple[Path, Child]]:
    program = require_binary("memcached", "memcached")
    path = directory / "memcached.sock"
    child = _child([program, "-s", str(path), "-U", "0", *_as_root(), *options], directory, env)
    try:
        # Bound and listening at once: there is no moment between.
        child.wait_until(path.exists)
        yield path, child
    finally:
        child.stop()


def _child(command: Sequence[str], directory: Path, env: Mapping[str, str] | None = None) -> Child:
    # Asked politely, it ends at the next tick of its clock: up to a second later. It has nothing
    # to put away.
    return Child(command, directory, env=env, stop_signal=signal.SIGKILL)


def _as_root() -> list[str]:
    # As root it wants to be told a user; nobody could not bind in our directory.
    return ["-u", "root"] if os.geteuid() == 0 else []


def _login(password: str) -> str:
    return f"{USER}:{quote(password, safe='')}"


def _sasl(directory: Path) -> dict[str, str]:
    """Make a database with one user; returns memcached's environment.

    Debian's memcached is built without MEMCACHED_SASL_PWDB: Cyrus's own database it must be.
    """
    saslpasswd = require_binary("saslpasswd2", "sasl2-bin")
    database = directory / "sasldb2"
    (directory / "memcached.conf").write_text(
        "mech_list: plain\n"
        "pwcheck_method: auxprop\n"
        "auxprop_plugin: sasldb\n"
        f"sasldb_path: {database}\n"
    )
    # The realm is the host's name, which is what memcached looks a user up by.
    realm = os.uname().nodename
    subprocess.run(
        [saslpasswd, "-p", "-c", "-f", str(database), "-a", "memcached", "-u", realm, USER],
        input=SASL_PASSWORD.encode(),
        check=True,
        timeout=20,
    )
    database.chmod(0o644)
    return {"SASL_CONF_PATH": str(directory)}
