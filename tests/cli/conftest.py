"""The commands, run in this process; and a memory store that they and the test share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sessionstore import MemoryStore, SessionConfig, SessionManager
from sessionstore.cli import common
from sessionstore.cli.app import cli
from sessionstore.core.config import Secret

SECRET = "the signing key of the tests, long enough"

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "SECRET_KEY", "ENCRYPTION_KEY"):
        monkeypatch.delenv(f"SESSIONSTORE_{name}", raising=False)
    # What rich takes for the terminal's width.
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def invoke() -> Invoke:
    """Run one command line; ``env`` is added to the environment."""

    def run(*arguments: str, **env: str) -> Result:
        return CliRunner().invoke(cli, arguments, env=env)

    return run


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """What ``memory://`` opens, in this test."""
    shared = MemoryStore()
    monkeypatch.setattr(common, "open_store", lambda url: shared)
    return shared


def manager(store: Any, secret: Secret = SECRET, **settings: Any) -> SessionManager:
    return SessionManager(store, SessionConfig(secret_key=secret, **settings))
