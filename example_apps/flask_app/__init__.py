"""The shop with Flask.

flask --app example_apps.flask_app run
"""

from __future__ import annotations

import os
from typing import cast

import flask
from flask import Flask, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from example_apps import shop
from sessionstore import Session
from sessionstore.flask import SessionStore

app = Flask(__name__, template_folder=str(shop.TEMPLATES), static_folder=str(shop.STATIC))
app.config.update(
    SECRET_KEY=os.environ["SESSIONSTORE_SECRET_KEY"],
    SESSIONSTORE_URL=os.environ["SESSIONSTORE_URL"],
    SESSIONSTORE_MERGE=shop.MERGE,
    SESSION_COOKIE_NAME=shop.COOKIE,
    SESSION_COOKIE_PATH="/",  # not this app's own prefix: the others read it too
    SESSION_COOKIE_SAMESITE="Lax",
)
SessionStore(app)

# Flask's `session`, with what sessionstore adds: subject, handle, login(), logout().
session = cast(Session, flask.session)


@app.get("/")
def home() -> str:
    urls = {name: url_for(name) for name in ("home", "whoami", "login", "logout", "visit", "cart")}
    urls["style"] = url_for("static", filename="style.css")
    return render_template("shop.html", **shop.page("flask", session, urls))


@app.get("/whoami")
def whoami() -> Response:
    return flask.jsonify(shop.whoami("flask", session))


@app.post("/login")
def login() -> Response:
    session.login(shop.clean(request.form.get("user"), "user"))
    return redirect(url_for("home"), 303)


@app.post("/logout")
def logout() -> Response:
    session.logout()
    return redirect(url_for("home"), 303)


@app.post("/visit")
def visit() -> Response:
    shop.visit(session)
    return redirect(url_for("home"), 303)


@app.post("/cart")
def cart() -> Response:
    shop.add_to_cart(session, shop.clean(request.form.get("item"), "item"), "flask")
    return redirect(url_for("home"), 303)


@app.before_request
def refuse_other_sites() -> None:
    if shop.is_cross_site(request.method, request.headers.get):
        flask.abort(Response(shop.REFUSED, 403, content_type="text/plain"))


@app.errorhandler(shop.BadForm)
def bad_form(error: shop.BadForm) -> Response:
    return Response(f"{error}\n", 400, content_type="text/plain")
