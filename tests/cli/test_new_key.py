from __future__ import annotations

import re

from sessionstore import SessionConfig
from tests.cli.conftest import Invoke


def test_prints_a_key_and_nothing_else(invoke: Invoke) -> None:
    result = invoke("new-key")
    assert result.exit_code == 0
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", result.output)


def test_each_is_another(invoke: Invoke) -> None:
    assert len({invoke("new-key").output for _ in range(50)}) == 50


def test_is_strong_enough_for_the_core(invoke: Invoke) -> None:
    SessionConfig(secret_key=invoke("new-key").output.strip())  # a WeakSecretWarning is an error
