"""The site in Flask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import flask
from flask import Flask, session

from benchmarks import data
from benchmarks.clients.threads import raw_users
from benchmarks.clients.values import redis_requests
from benchmarks.servers import Servers
from benchmarks.sites import BASE, FLOOR, LIFETIME, SECRET

Rotate = Callable[[], object]


def make(kind: str, servers: Servers) -> Flask:
    """The application."""
    app = Flask("benchmark")
    if kind == BASE:
        for path in ("untouched", "read", "write", "rotate"):
            app.add_url_rule(f"/{path}", path, lambda: "ok")
        return app
    if kind == FLOOR:
        return _floor(app, servers)
    app.config["SECRET_KEY"] = SECRET
    app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(seconds=LIFETIME)
    rotate = SESSIONS[kind](app, servers)

    @app.get("/untouched")
    def untouched() -> str:
        return "ok"

    @app.get("/read")
    def read() -> str:
        session.get("user")
        return "ok"

    @app.get("/write")
    def write() -> str:
        session["n"] = session["n"] + 1
        return "ok"

    @app.get("/rotate")
    def login() -> str:
        rotate()
        session["n"] = session["n"] + 1
        return "ok"

    @app.get("/fill")
    def fill() -> str:
        session.update(data.wanted(flask.request.args))
        return "ok"

    @app.get("/logout")
    def logout() -> str:
        session.clear()
        return "ok"

    @app.get("/show")
    def show() -> Any:
        return flask.jsonify(dict(session))

    return app


def _floor(app: Flask, servers: Servers) -> Flask:
    user = raw_users(servers.redis_port, redis_requests)(0)
    user["set"]()

    def fill() -> flask.Response:
        response = flask.Response("ok")
        response.set_cookie("user", "0")
        return response

    def read() -> str:
        if flask.request.environ.get("HTTP_COOKIE"):
            assert len(user["get"]()) == data.SIZE
        return "ok"

    def write() -> str:
        user["get"]()
        assert user["set"]() == b"+OK\r\n"
        return "ok"

    app.add_url_rule("/fill", "fill", fill)
    app.add_url_rule("/untouched", "untouched", lambda: "ok")
    app.add_url_rule("/read", "read", read)
    app.add_url_rule("/write", "write", write)
    app.add_url_rule("/rotate", "rotate", write)
    return app


def _ours(app: Flask, **options: Any) -> Rotate:
    from sessionstore.flask import SessionStore

    app.config.update(options)
    SessionStore(app)

    def rotate() -> None:
        session.rotate()  # type: ignore[attr-defined]  # ours has it

    return rotate


def _flask_session(app: Flask, servers: Servers, *, refresh: bool) -> Rotate:
    from flask_session import Session

    app.config["SESSION_TYPE"] = "redis"
    app.config["SESSION_REDIS"] = servers.redis()
    app.config["SESSION_REFRESH_EACH_REQUEST"] = refresh
    Session(app)
    interface: Any = app.session_interface
    return lambda: interface.regenerate(session)


def _cookie(app: Flask, servers: Servers) -> Rotate:
    return lambda: None  # there is no identifier that could be another


SESSIONS: Final[dict[str, Callable[[Flask, Servers], Rotate]]] = {
    "sessionstore": lambda app, servers: _ours(app, SESSIONSTORE_URL=servers.redis_url),
    "sessionstore-memcached": lambda app, servers: _ours(
        app, SESSIONSTORE_URL=servers.memcached_url
    ),
    "sessionstore-memory": lambda app, servers: _ours(app, SESSIONSTORE_URL="memory://"),
    "cookie": _cookie,
    "flask-session": lambda app, servers: _flask_session(app, servers, refresh=True),
    "flask-session-no-refresh": lambda app, servers: _flask_session(app, servers, refresh=False),
}
