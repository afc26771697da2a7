"""Serve the demo: two worker processes, one address. `make demo` runs this.

SESSIONSTORE_URL chooses the store (default: a SQLite file), PORT the port (default: 8000).
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import uvicorn

from sessionstore import SessionConfig, SessionError, SessionManager, open_store

HOST = "127.0.0.1"
STATE = Path(".demo")


def main() -> None:
    """Check everything that can be wrong first: a worker's traceback would help nobody."""
    port = chosen_port(os.environ)
    STATE.mkdir(mode=0o700, exist_ok=True)
    default = f"sqlite:///{quote(str(STATE.absolute()))}/sessions.db"
    url = os.environ.get("SESSIONSTORE_URL") or default
    key = os.environ.get("SESSIONSTORE_SECRET_KEY") or kept_key(STATE / "secret-key")
    check_port(port)
    check_store(url, key)
    # The workers read both: the same key in each, or they would refuse each other's cookies.
    os.environ.update(SESSIONSTORE_URL=url, SESSIONSTORE_SECRET_KEY=key)
    sys.stdout.write(
        f"\n  Open   http://{HOST}:{port}/\n"
        f"  Store  {without_password(url)}\n"
        f"  Runs   Flask, Django and Starlette in two worker processes. Ctrl-C ends it.\n\n"
    )
    sys.stdout.flush()
    uvicorn.run("example_apps.demo.asgi:app", host=HOST, port=port, workers=2, log_level="warning")


def chosen_port(environ: Mapping[str, str]) -> int:
    """PORT, or 8000."""
    text = environ.get("PORT") or "8000"
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        sys.exit(f"PORT={text!r}: give a number from 1 to 65535.")
    return int(text)


def kept_key(path: Path) -> str:
    """The demo's own secret key, made at the first start and readable by its owner only.

    It is kept so that sessions outlive a restart. A deployment takes its key from wherever it
    keeps its other secrets, and never from a default in its code.
    """
    path.touch(mode=0o600)
    if not path.read_text():
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text()


def check_port(port: int) -> None:
    """End with a clear message if something listens there."""
    with socket.socket() as probe:
        # As servers do: the connections of one that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            sys.exit(f"Port {port}: {error.strerror}. Another one: PORT={port + 1} make demo")


def check_store(url: str, key: str) -> None:
    """Create and delete a session, so that a store that does not work is found now."""
    if url.startswith("memory:"):
        sys.exit("memory:// keeps sessions in one process, and the demo has two.")
    try:
        store = open_store(url)
        manager = SessionManager(store, SessionConfig(secret_key=key))
        session = manager.open(None)
        session["probe"] = True
        manager.commit(session)
        session.destroy()
        manager.commit(session)
        store.close()
    except SessionError as error:
        sys.exit(f"The session store does not work: {error}\nSESSIONSTORE_URL says where it is.")


def without_password(url: str) -> str:
    """The URL for showing: ``open_store`` has taken it, so an ``@`` can only end a password."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    authority, slash, path = rest.partition("/")
    _, at, hosts = authority.rpartition("@")
    return f"{scheme}://{'***@' if at else ''}{hosts}{slash}{path}"


if __name__ == "__main__":
    main()
