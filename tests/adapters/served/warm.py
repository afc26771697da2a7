"""A configuration file of gunicorn's: the application has served before its workers are forked."""

from __future__ import annotations

from typing import Any

from werkzeug.test import Client

preload_app = True


def when_ready(server: Any) -> None:
    """In the arbiter, which the workers are forked from next."""
    answer = Client(server.app.callable).get("/visit/1")
    assert answer.status_code == 200
