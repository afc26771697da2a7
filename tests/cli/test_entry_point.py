"""The installed command, as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sessionstore import open_store
from tests.cli.conftest import SECRET, manager
from tests.support.servers import RedisServer

COMMAND = Path(sys.executable).parent / "sessionstore"
WITHOUT = "import sys; sys.modules[{library!r}] = None; from sessionstore.cli import main; main()"


def run(*command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(command),
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_is_installed() -> None:
    result = run(COMMAND, "--version")
    assert result.returncode == 0
    assert version("sessionstore") in result.stdout


def test_pings_a_real_server(redis_server: RedisServer, prefix: str) -> None:
    result = run(COMMAND, "ping", SESSIONSTORE_URL=f"{redis_server.url}?prefix={prefix}")
    assert result.returncode == 0, result.stderr
    assert re.search(r"\bdelete\b.*\d\.\d\d", result.stdout)
    assert result.stderr == ""


def test_prints_any_character_to_any_terminal(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"
    store = open_store(url)
    sessions = manager(store)
    session = sessions.open(None)
    session["größe"] = "日本"
    sessions.commit(session)
    store.close()
    assert session.handle is not None
    result = run(
        *(COMMAND, "inspect", url, session.handle, "--values"),
        SESSIONSTORE_SECRET_KEY=SECRET,
        PYTHONIOENCODING="ascii",
    )
    assert result.returncode == 0, result.stderr
    assert r"gr\xf6\xdfe" in result.stdout
    assert r"\u65e5\u672c" in result.stdout


def test_fails_where_no_server_is(tmp_path: Path) -> None:
    result = run(COMMAND, "ping", f"redis+unix://{tmp_path}/none.sock")
    assert result.returncode == 1
    assert result.stderr.startswith("connect failed. The store cannot be reached: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("library", ["click", "rich"])
def test_without_the_extra_says_which_one_to_install(library: str) -> None:
    result = run(sys.executable, "-c", WITHOUT.format(library=library), "ping", "memory://")
    assert result.returncode == 1
    assert "pip install 'sessionstore[cli]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_new_key_needs_no_extra() -> None:
    result = run(sys.executable, "-c", WITHOUT.format(library="click"), "new-key")
    assert result.returncode == 0
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", result.stdout)
