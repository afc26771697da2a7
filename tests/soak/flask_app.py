"""The soak's Flask site: ``gunicorn tests.soak.flask_app:app``, the store from the environment."""

from __future__ import annotations

import os
import time

import flask

from sessionstore.flask import SessionStore
from tests.soak.views import Request
from tests.support.calling import COOKIE

app = flask.Flask("soak")
app.config.update(
    SECRET_KEY=os.environ["SESSIONSTORE_SECRET_KEY"],
    SESSION_COOKIE_NAME=COOKIE,
    SESSIONSTORE_ROTATION_GRACE=int(os.environ["SOAK_GRACE"]),
)
SessionStore(app)


@app.route("/ready")
def ready() -> str:
    """Without a session."""
    return "ready"


@app.route("/<path:path>")
def view(path: str) -> tuple[flask.Response, int]:
    """The same as in the other sites."""
    request = Request(path, flask.request.query_string.decode())
    request.look(flask.session)
    time.sleep(request.pause)
    request.act(flask.session)
    return flask.jsonify(request.body), request.status
