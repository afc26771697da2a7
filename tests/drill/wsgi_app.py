"""The drill's WSGI site: ``gunicorn tests.drill.wsgi_app:app``, the store from the environment."""

from __future__ import annotations

import os

import flask

from sessionstore.flask import SessionStore
from tests.drill.views import respond
from tests.support.calling import COOKIE

app = flask.Flask("drill")
app.config.update(SECRET_KEY=os.environ["SESSIONSTORE_SECRET_KEY"], SESSION_COOKIE_NAME=COOKIE)
SessionStore(app)


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
def view(path: str) -> tuple[flask.Response, int]:
    """The same views as the other site's."""
    status, body = respond(f"/{path}", flask.session)
    return flask.jsonify(body), status
