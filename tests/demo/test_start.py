"""Starting and ending the demo."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest

from example_apps.demo.__main__ import chosen_port, without_password
from tests.demo.conftest import run_demo, start_demo
from tests.support.children import free_port


def ends(directory: Path, **env: str) -> str:
    """What a demo prints that cannot start."""
    child = start_demo(directory, **env)
    try:
        assert child.process.wait(30) == 1
    finally:
        child.stop()
    assert "Traceback" not in child.output
    assert "Open" not in child.output
    return child.output


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = ends(tmp_path, PORT=str(port))
    assert f"Port {port}: Address already in use" in said
    assert f"PORT={port + 1} make demo" in said


@pytest.mark.parametrize("port", ["0", "65536", "-1", "eighty", "\N{FULLWIDTH DIGIT EIGHT}"])
def test_a_port_that_is_none(port: str) -> None:
    with pytest.raises(SystemExit, match="give a number from 1 to 65535"):
        chosen_port({"PORT": port})


def test_the_default_port() -> None:
    assert chosen_port({}) == chosen_port({"PORT": ""}) == 8000


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    url = f"redis://user:s%40cret@127.0.0.1:{free_port()}/0"
    said = ends(tmp_path, PORT=str(free_port()), SESSIONSTORE_URL=url)
    assert "The session store does not work" in said
    assert "cret" not in said


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://", "one process"),
        ("redsi://localhost", "redsi:// is not known"),
        ("redis://localhost/0?tmeout=1", "unknown option 'tmeout'"),
    ],
)
def test_a_store_that_cannot_be(tmp_path: Path, url: str, message: str) -> None:
    assert message in ends(tmp_path, PORT=str(free_port()), SESSIONSTORE_URL=url)


def test_it_says_what_it_does_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    with run_demo(tmp_path) as server:
        assert f"Open   {server.url}/" in server.child.output
        assert f"Store  sqlite:///{tmp_path}/.demo/sessions.db" in server.child.output
        key = tmp_path / ".demo" / "secret-key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
        assert len(key.read_text()) >= 43
        assert key.read_text() not in server.child.output
        # A terminal sends it to every process of the foreground group.
        os.killpg(server.child.process.pid, signal.SIGINT)
        assert server.child.process.wait(20) in (0, -signal.SIGINT, 130)
        assert "Traceback" not in server.child.output


def test_sessions_outlive_a_restart(tmp_path: Path) -> None:
    with run_demo(tmp_path) as server:
        jar = httpx.post(f"{server.url}/flask/login", data={"user": "ada"}).cookies
    with run_demo(tmp_path) as server, httpx.Client(cookies=jar) as client:
        assert client.get(f"{server.url}/django/whoami").json()["user"] == "ada"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:secret@h:6379/0?timeout=1", "redis://***@h:6379/0"),
        ("redis://:secret@h", "redis://***@h"),
        ("redis://:secret@h?timeout=1", "redis://***@h"),
        ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock"),
        ("sqlite:////var/x@y.db", "sqlite:////var/x@y.db"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
