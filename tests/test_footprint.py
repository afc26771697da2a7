"""What the library costs before it has done anything: imports, memory, the wheel.

Only what is the same on every machine is tested; times are for ``make bench``.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import sessionstore
from sessionstore import MemoryStore, Session, SessionConfig, SessionManager

PACKAGE = Path(sessionstore.__file__).parent
ALWAYS = {"sessionstore", "itsdangerous", "ormsgpack"}

# -- imports --

LISTING = """
import json, sys
{first}
before = set(sys.modules)
{code}
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})))
"""
IMPORTS = {
    # What is there before; what is imported; what may come, beside the standard library.
    "sessionstore": ("", "import sessionstore", {"sessionstore"}),
    "manager": ("", "from sessionstore import SessionConfig, SessionManager", ALWAYS),
    "memory": ("", "import sessionstore; sessionstore.open_store('memory://')", ALWAYS),
    "memcached": ("", "import sessionstore; sessionstore.open_store('memcached://h')", ALWAYS),
    "redis": ("import redis, hiredis", "from sessionstore.stores.redis import store", ALWAYS),
    "sqlite": ("import sqlalchemy", "from sessionstore.stores.sql import store", ALWAYS),
    "asgi": ("", "import sessionstore.asgi", ALWAYS),
    "flask": ("import flask", "import sessionstore.flask", ALWAYS),
    "django": ("import django.core.handlers.wsgi", "import sessionstore.django", ALWAYS),
}
HEAVY = {"asyncio", "email", "http", "multiprocessing", "socket", "ssl", "subprocess", "unittest"}
"""Of the standard library, what takes long to import and who only signs tokens has no use for."""


def newly_imported(first: str, code: str) -> set[str]:
    """The top-level packages that a new Python imports for this."""
    source = LISTING.format(first=first, code=code)
    # Without what measures coverage here, or configures this process otherwise.
    environment = {name: value for name, value in os.environ.items() if "COV" not in name}
    shown = subprocess.run(
        [sys.executable, "-c", source], check=True, capture_output=True, env=environment
    ).stdout
    # Its name has the platform's in it, so that sys.stdlib_module_names has not.
    return {name for name in json.loads(shown) if not name.startswith("_sysconfigdata")}


@pytest.mark.parametrize("name", IMPORTS)
def test_no_library_is_imported_that_is_not_used(name: str) -> None:
    first, code, allowed = IMPORTS[name]
    found = newly_imported(first, code)
    assert "sessionstore" in found
    assert found - set(sys.stdlib_module_names) <= allowed


def test_a_plain_import_imports_nothing_else() -> None:
    """Whoever wants an error's class, or the version, waits for no codec."""
    assert newly_imported("", "import sessionstore") == {"sessionstore"}


def test_every_public_name_is_found_when_it_is_asked_for() -> None:
    assert {*sessionstore.__all__} <= {*dir(sessionstore)}
    for name in sessionstore.__all__:
        assert getattr(sessionstore, name).__name__ == name
    assert not hasattr(sessionstore, "Sesssion")


@pytest.mark.parametrize("name", ["manager", "memory", "asgi"])
def test_nothing_heavy_is_imported(name: str) -> None:
    first, code, _ = IMPORTS[name]
    assert not newly_imported(first, code) & HEAVY


# -- memory --


@pytest.fixture
def manager() -> SessionManager:
    made = SessionManager(MemoryStore(), SessionConfig(secret_key="k" * 32))
    for _ in range(100):  # what is cached by then is no longer allocated
        anonymous(made)
    return made


def anonymous(manager: SessionManager) -> Session:
    """What a request without a cookie does that writes nothing."""
    session = manager.begin(None, Session)
    assert session.get("user") is None
    assert manager.commit(session) is None
    return session


@contextmanager
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_an_anonymous_session_is_small(manager: SessionManager) -> None:
    with no_collection():
        before = sys.getallocatedblocks()
        sessions = [anonymous(manager) for _ in range(100)]
        blocks = (sys.getallocatedblocks() - before) / len(sessions)
    assert blocks < 20


def test_an_anonymous_request_allocates_little(manager: SessionManager) -> None:
    with no_collection():
        tracemalloc.start()
        try:
            anonymous(manager)  # what tracing itself makes it allocate once
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            anonymous(manager)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak - before < 6_000


def test_anonymous_requests_leave_nothing_behind(manager: SessionManager) -> None:
    """Without the garbage collector: there are no cycles on this path either."""
    with no_collection():
        before = sys.getallocatedblocks()
        for _ in range(1000):
            anonymous(manager)
        assert sys.getallocatedblocks() - before < 500


def test_requests_that_read_leave_nothing_behind(manager: SessionManager) -> None:
    """As above: whatever loads a session must not be part of it."""
    session = manager.open(None)
    session["user"] = 1
    cookie = manager.commit(session)
    assert cookie is not None

    def read() -> None:
        found = manager.begin(cookie.value, Session)
        assert found["user"] == 1
        manager.commit(found)

    read()
    with no_collection():
        before = sys.getallocatedblocks()
        for _ in range(1000):
            read()
        assert sys.getallocatedblocks() - before < 500


# -- the wheel --


@pytest.mark.once
def test_the_wheel_is_nothing_but_source() -> None:
    """And its size is no surprise. docs/performance.md has the wheel's own."""
    files = [file for file in PACKAGE.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    assert {file.suffix for file in files} == {".py", ".typed"}
    compressed = sum(len(zlib.compress(file.read_bytes())) for file in files)
    assert compressed < 300_000
