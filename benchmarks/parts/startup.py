"""What an import takes beyond a bare Python, and the size of the wheel."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks.parts import Context
from benchmarks.workers import take_turns
from tests.support.http_servers import ROOT

IMPORTS: Final = {
    "nothing": "pass",
    "sessionstore": "import sessionstore",
    "SessionManager": "from sessionstore import SessionConfig, SessionManager",
    "open_store": "import sessionstore; sessionstore.open_store('redis://localhost')",
    "sessionstore.flask": "import sessionstore.flask",
    "flask": "import flask",
    "sessionstore.asgi": "import sessionstore.asgi",
    "redis": "import redis",
    "sessionstore.django": "import sessionstore.django",
    "django": "import django.contrib.sessions.backends.base",
}
"""What a new Python does."""


def run(context: Context) -> dict[str, Any]:
    """Milliseconds of each, a list; the wheel's bytes."""
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}

    def take(name: str) -> None:
        start = perf_counter()
        subprocess.run([sys.executable, "-c", IMPORTS[name]], check=True, cwd=ROOT)
        times[name].append((perf_counter() - start) * 1000)

    for name in IMPORTS:  # compiled, and in the system's cache
        subprocess.run([sys.executable, "-c", IMPORTS[name]], check=True, cwd=ROOT)
    rounds = 6 if context.quick else 40
    take_turns(rounds, list(IMPORTS), context.seed, take, context.progress)
    return {"imports": times, "wheel": _wheel()}


def _wheel() -> int:
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory],
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        [wheel] = Path(directory).glob("*.whl")
        return wheel.stat().st_size
