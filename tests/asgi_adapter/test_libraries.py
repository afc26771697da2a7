"""Libraries that keep things in ``request.session``: each in its own way, unchanged."""

from __future__ import annotations

import warnings
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqladmin
import starlette_admin
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import create_engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette_admin.auth import AdminUser, AuthProvider

from sessionstore import MemoryStore
from sessionstore.asgi import SessionMiddleware
from tests.asgi_adapter.support import KEY, TestClient

with warnings.catch_warnings(record=True):
    # It says at its import that it would rather have httpx2, whatever the filters are.
    from authlib.integrations.starlette_client import OAuth


@pytest.fixture
def middleware() -> list[Middleware]:
    return [Middleware(SessionMiddleware, secret_key=KEY, store=MemoryStore())]


async def show(request: Request) -> Response:
    return JSONResponse(request.session)


def test_authlib_keeps_its_state_between_redirect_and_callback(
    middleware: list[Middleware],
) -> None:
    def provider(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/token"
        return httpx.Response(200, json={"access_token": "token", "token_type": "Bearer"})

    oauth = OAuth()
    oauth.register(
        "provider",
        client_id="us",
        client_secret="secret",
        authorize_url="https://provider.test/authorize",
        access_token_url="https://provider.test/token",
        client_kwargs={"transport": httpx.MockTransport(provider)},
    )

    async def login(request: Request) -> Any:
        return await oauth.provider.authorize_redirect(request, "http://testserver/callback")

    async def callback(request: Request) -> Response:
        token = await oauth.provider.authorize_access_token(request)
        request.session["access"] = token["access_token"]
        return JSONResponse(request.session)

    routes = [Route("/login", login), Route("/callback", callback), Route("/", show)]
    client = TestClient(Starlette(routes=routes, middleware=middleware))

    answer = client.get("/login", follow_redirects=False)
    state = parse_qs(urlsplit(answer.headers["location"]).query)["state"][0]
    assert list(client.get("/").json()) == [f"_state_provider_{state}"]
    answer = client.get("/callback", params={"state": state, "code": "code"})

    assert answer.json() == {"access": "token"}
    assert client.get("/").json() == {"access": "token"}
    with pytest.raises(Exception, match="state"):
        client.get("/callback", params={"state": state, "code": "code"})


def test_sqladmin_logs_in_and_out(middleware: list[Middleware]) -> None:
    class Backend(AuthenticationBackend):
        def __init__(self) -> None:
            # Not Starlette's own middleware as well: ours is there for the whole application.
            self.middlewares = []

        async def login(self, request: Request) -> bool:
            form = await request.form()
            request.session["user_id"] = form["username"]
            return True

        async def logout(self, request: Request) -> bool:
            request.session.clear()
            return True

        async def authenticate(self, request: Request) -> bool:
            return "user_id" in request.session

    app = Starlette(routes=[Route("/", show)], middleware=middleware)
    engine = create_engine("sqlite://")
    sqladmin.Admin(app, engine, authentication_backend=Backend())
    client = TestClient(app)

    assert client.get("/admin/").url.path == "/admin/login"
    client.post("/admin/login", data={"username": "ann", "password": "x"})
    assert client.get("/admin/").url.path == "/admin/"
    assert client.get("/").json() == {"user_id": "ann"}
    client.get("/admin/logout")
    assert client.get("/admin/").url.path == "/admin/login"
    assert client.get("/").json() == {}
    engine.dispose()


def test_starlette_admin_logs_in_and_out(middleware: list[Middleware]) -> None:
    class Provider(AuthProvider):
        async def login(
            self, username: str, password: str, remember_me: bool, request: Request
        ) -> None:
            request.session["username"] = username

        async def authenticate(self, request: Request) -> AdminUser | None:
            name = request.session.get("username")
            return AdminUser(username=name) if name else None

        async def logout(self, request: Request) -> None:
            request.session.clear()

    app = Starlette(routes=[Route("/", show)], middleware=middleware)
    admin = starlette_admin.BaseAdmin(auth_provider=Provider(), secret_key=KEY)
    admin.mount_to(app)
    client = TestClient(app)

    page = client.get("/admin/")
    assert page.url.path == "/admin/login"
    token = client.cookies.get("starlette_admin_csrftoken") or ""
    form = {"username": "ann", "password": "x", "csrftoken": token}
    assert client.post("/admin/login", data=form).status_code == 200
    assert client.get("/admin/").url.path == "/admin/"
    assert client.get("/").json()["username"] == "ann"
    client.get("/admin/logout")
    client.post("/admin/logout", data={"csrftoken": token})
    assert client.get("/admin/").url.path == "/admin/login"
