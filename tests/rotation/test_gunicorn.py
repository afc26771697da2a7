"""The same on real servers: gunicorn, Django's own login, and SIGHUP for each deployment."""

from __future__ import annotations

import http.client
import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.rotation.deployments import BEFORE, NEW, STEP_1, STEP_2, STEP_3, Keys
from tests.rotation.users import PATIENCE, Load, Serves, User
from tests.support.http_servers import HttpServer, serve_wsgi
from tests.support.servers import RedisServer
from tests.support.sites import COOKIE, Action, Answer, cookie_value

pytestmark = pytest.mark.once


@dataclass
class Gunicorn:
    """A gunicorn whose keys are in a file that it reads when it is told to."""

    server: HttpServer
    file: Path

    def deploy(self, keys: Keys, **settings: float) -> None:
        """Returns when no worker with the keys of before is left."""
        before = self._workers()
        write(self.file, keys, **settings)
        self.server.child.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while not self._workers() or self._workers() & before:
            assert time.monotonic() < deadline, self.server.child.output
            time.sleep(0.01)

    def _workers(self) -> set[str]:
        pid = self.server.child.process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def request(self, action: Action, cookie: bytes | None = None) -> Answer:
        raise NotImplementedError  # there it cannot run

    def get(self, path: str, cookie: str | None) -> Answer:
        """One request, on a connection of its own."""
        connection = http.client.HTTPConnection(self.server.url.removeprefix("http://"), timeout=10)
        headers = {} if cookie is None else {"Cookie": f"{COOKIE}={cookie}"}
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        return Answer(response.status, response.getheaders(), body, body.decode())


class Visitor(User):
    """A user whose pages are paths."""

    def fetch(self, server: Serves, path: str) -> Answer:
        """A request; one that a worker which was ending has dropped is made again."""
        assert isinstance(server, Gunicorn)
        for _ in range(3):
            try:
                answer = server.get(path, self.cookie)
            except (ConnectionError, http.client.HTTPException):
                continue
            for value in answer.set_cookies:
                self.cookie = cookie_value(value)
            return answer
        return Answer(0, [], b"")

    def log_in(self, server: Serves) -> None:
        assert self.fetch(server, f"/login/{self.name}").status == 200

    def act(self, server: Serves) -> Answer:
        return self.fetch(server, f"/write/{next(self.written)}" if self.writes else "/read")


def write(file: Path, keys: Keys, touch_interval: float | None = None) -> None:
    settings = {"signing": keys.signing, "encryption": keys.encryption}
    file.write_text(json.dumps({**settings, "touch_interval": touch_interval}))


@pytest.fixture
def servers(redis_server: RedisServer, prefix: str, tmp_path: Path) -> Iterator[list[Gunicorn]]:
    url = f"{redis_server.url}?prefix={prefix}&timeout=5"
    with ExitStack() as stack:
        made = []
        for number in range(2):
            file = tmp_path / f"keys-{number}.json"
            write(file, BEFORE)
            env = {"SESSIONSTORE_URL": url, "KEYS_FILE": str(file)}
            serving = serve_wsgi("tests.rotation.django_app:app", env=env, threads=8)
            made.append(Gunicorn(stack.enter_context(serving), file))
        yield made


def test_nobody_is_logged_out(servers: list[Gunicorn]) -> None:
    users = [Visitor("1", writes=False), Visitor("2", writes=True), Visitor("3", False, tabs=3)]
    idle = Visitor("4", writes=False)
    for user in (*users, idle):
        user.log_in(servers[0])
    load = Load(users, servers)
    with load.running():
        load.settle()
        for server, keys in zip(servers * 2, (STEP_1, STEP_1, STEP_2), strict=False):
            server.deploy(keys)
            load.settle()
        # Now as if a tenth of the idle timeout passed again and again: reading signs anew.
        servers[1].deploy(STEP_2, touch_interval=0.02)
        load.settle()
        load.wait_until(lambda: all(user.is_signed_by(NEW) for user in users))
        for server in servers:
            server.deploy(STEP_3)
            load.settle()
    assert (load.logged_out, load.failed) == ([], [])
    answer = idle.act(servers[1])
    assert (answer.status, answer.result, answer.set_cookies) == (200, "", [])
