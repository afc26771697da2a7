"""One Redis process among several, with the faults that a process can have."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.certificates import Certificates
from tests.support.children import Child, StartError, lasting_port
from tests.support.servers import redis_program

BUS = 10000
"""A cluster node's bus is at its port and this."""

PATIENCE = 60.0
"""Seconds for what a group of servers does by itself, on a machine that is busy."""

Options = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class Access:
    """What it takes to talk to a node.

    :param certificates: where it speaks TLS, and nothing but TLS
    """

    password: str | None = None
    certificates: Certificates | None = None

    def options(self) -> dict[str, str]:
        """What a node's configuration says of it."""
        if self.certificates is None:
            return {}
        return {
            "tls-cert-file": str(self.certificates.server),
            "tls-key-file": str(self.certificates.server_key),
            "tls-ca-cert-file": str(self.certificates.ca),
            "tls-auth-clients": "no",
            "tls-replication": "yes",
        }

    def client(self, port: int) -> redis.Redis:
        """A client that tries once, for no longer than a frozen server deserves."""
        tls: dict[str, Any] = {}
        if self.certificates is not None:
            tls = {"ssl": True, "ssl_ca_certs": str(self.certificates.ca)}
        return redis.Redis(
            "127.0.0.1",
            port,
            password=self.password,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
            **tls,
        )

    def url(self, kind: str, ports: list[int], path: str = "", **more: str | None) -> str:
        """For ``open_store``: ``redis+kind://``, or ``rediss+kind://`` with the authority's file.

        :param more: further options, left out where None
        """
        options = {name: value for name, value in more.items() if value is not None}
        host, scheme = "127.0.0.1", "redis"
        if self.certificates is not None:
            host, scheme = "localhost", "rediss"
            options["ca"] = str(self.certificates.ca)
        login = f"default:{quote(self.password, safe='')}@" if self.password else ""
        hosts = ",".join(f"{host}:{port}" for port in ports)
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        return f"{scheme}+{kind}://{login}{hosts}{path}{query}"


class RedisNode:
    """A redis-server (or a Sentinel, which is one) with its configuration in a file.

    In a file, because Sentinel rewrites it: a node that is started again comes up with the role
    it was last given, and a killed primary as the primary it was.
    """

    def __init__(
        self, directory: Path, access: Access, options: Options, *, sentinel: bool = False
    ) -> None:
        directory.mkdir()
        self.directory = directory
        self.access = access
        self.frozen = False
        self._sentinel = sentinel
        self._options = {"bind": "127.0.0.1", "dir": str(directory), **access.options(), **options}
        self._first_start()
        self.client = access.client(self.port)

    def __repr__(self) -> str:
        return f"<{'Sentinel' if self._sentinel else 'Redis'} at {self.port}>"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    @property
    def alive(self) -> bool:
        """Whether it runs and is not frozen."""
        return self.child.process.poll() is None and not self.frozen

    def _first_start(self) -> None:
        for attempts_left in range(4, -1, -1):
            self.port = lasting_port((0, BUS))
            self._configure()
            self._run()
            try:
                self.wait_until(self._answers)
            except StartError:
                self.child.stop()
                if not attempts_left or "in use" not in self.child.output.lower():
                    raise
            else:
                return

    def _configure(self) -> None:
        port = "port" if self.access.certificates is None else "tls-port"
        lines = {"port": "0", **self._options, port: str(self.port)}
        path = self.directory / "redis.conf"
        path.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))

    def _run(self) -> None:
        mode = ["--sentinel"] if self._sentinel else []
        self.child = Child(
            [redis_program(), str(self.directory / "redis.conf"), *mode], self.directory
        )

    def _answers(self) -> bool:
        with self.access.client(self.port) as client:
            return bool(client.ping())

    def wait_until(self, ready: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Poll until `ready`; that it does not answer means not yet."""

        def check() -> bool:
            with suppress(redis.RedisError):
                return ready()
            return False

        self.child.wait_until(check, seconds)

    def info(self, section: str) -> dict[str, Any]:
        """INFO of one section."""
        answer: dict[str, Any] = self.client.info(section)
        return answer

    def linked(self) -> bool:
        """Whether it is a replica that follows its primary."""
        return self.info("replication").get("master_link_status") == "up"

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is said; the kernel resets its connections."""
        self.child.process.kill()
        self.child.process.wait(10)
        self.frozen = False

    def freeze(self) -> None:
        """SIGSTOP: connections are accepted (by the kernel), and nothing is answered."""
        self.child.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT: it goes on with what it was sent meanwhile, in the role that it had."""
        self.child.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def restart(self) -> None:
        """Start it again after :meth:`kill`, on the same port and files; until it answers."""
        self._run()
        self.wait_until(self._answers)

    def stop(self) -> None:
        """End it in whatever state it is."""
        self.client.close()
        if self.frozen:
            self.thaw()  # or it would not hear the signal to end
        self.child.stop()


class Group:
    """Nodes that belong together."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.nodes: list[RedisNode] = []

    def client(self, node: RedisNode) -> redis.Redis:
        """A plain client of a node, the same each time."""
        return node.client

    def kill(self, node: RedisNode) -> None:
        """See :meth:`RedisNode.kill`."""
        node.kill()

    def freeze(self, node: RedisNode) -> None:
        """See :meth:`RedisNode.freeze`."""
        node.freeze()

    def thaw(self, node: RedisNode) -> None:
        """See :meth:`RedisNode.thaw`."""
        node.thaw()

    def restart(self, node: RedisNode) -> None:
        """See :meth:`RedisNode.restart`."""
        node.restart()


def quoted(text: str) -> str:
    """For redis.conf."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def poll(ready: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """Wait until `ready` gives something, and give it; that a server is silent means not yet.

    :raises StartError: the time is over
    """
    deadline = time.monotonic() + seconds
    while True:
        with suppress(redis.RedisError, OSError):
            if answer := ready():
                return answer
        if time.monotonic() > deadline:
            raise StartError(f"not after {seconds} s: {what}")
        time.sleep(0.01)
