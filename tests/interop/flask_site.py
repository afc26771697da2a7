"""gunicorn tests.interop.flask_site:app"""

from __future__ import annotations

from typing import Any, cast

import flask

from sessionstore.flask import SessionStore
from tests.interop import values

app = flask.Flask(__name__)
app.config.update(SECRET_KEY=values.SECRET, SESSION_COOKIE_NAME=values.COOKIE)
SessionStore(app)
session = cast(Any, flask.session)


@app.get("/read")
def read() -> dict[str, Any]:
    return values.read(session)


@app.post("/write")
def write() -> str:
    values.write(session)
    return ""


@app.post("/change")
def change() -> str:
    values.change(session)
    return ""


@app.post("/login/<user>")
def login(user: str) -> str:
    session.login(user)
    return ""
