"""Sessions in a store for Flask: an extension.

>>> from flask import Flask, session
>>> from sessionstore.flask import SessionStore
>>> app = Flask("shop")
>>> app.config["SECRET_KEY"] = "k" * 32
>>> app.config["SESSIONSTORE_URL"] = "memory://"
>>> _ = SessionStore(app)
>>> @app.get("/")
... def index():
...     session["visits"] = session.get("visits", 0) + 1
...     return str(session["visits"])
>>> client = app.test_client()
>>> client.get("/").text, client.get("/").text
('1', '2')
"""

from typing import cast

import flask

from sessionstore.flask.extension import SessionStore
from sessionstore.flask.interface import StoreSessionInterface
from sessionstore.flask.session import FlaskSession

__all__ = ["FlaskSession", "SessionStore", "StoreSessionInterface", "session"]

session = cast(FlaskSession, flask.session)
"""``flask.session``, the very same, for type checkers: it has ``login()`` and the rest."""
