"""``gunicorn tests.rotation.django_app:app``: Django with its own login, and keys from a file.

``contrib.auth`` signs a hash of the user's password with ``SECRET_KEY`` into the session. When that
verifies under a fallback only, it rotates the session's token, in whatever request that is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.support.sites import COOKIE

keys = json.loads(Path(os.environ["KEYS_FILE"]).read_text())
settings.configure(
    SECRET_KEY=keys["signing"][0],
    SECRET_KEY_FALLBACKS=keys["signing"][1:],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    AUTHENTICATION_BACKENDS=[f"{__name__}.Backend"],
    SESSION_ENGINE="sessionstore.django",
    SESSIONSTORE={
        "URL": os.environ["SESSIONSTORE_URL"],
        "ENCRYPTION_KEYS": keys["encryption"],
        "TOUCH_INTERVAL": keys["touch_interval"],
        # A tab whose response is overtaken by a rotation keeps the old token for so long, and no
        # longer: that is its limit, and nothing that this test is to find.
        "ROTATION_GRACE": 600,
    },
    SESSION_COOKIE_NAME=COOKIE,
    SESSION_SAVE_EVERY_REQUEST=True,
    MIDDLEWARE=[
        "sessionstore.django.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
)
django.setup()

from django.contrib import auth  # noqa: E402 (Django wants its settings first)
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.auth.signals import user_logged_in  # noqa: E402

user_logged_in.disconnect(dispatch_uid="update_last_login")  # there is no database


class Backend:
    """Users without a database."""

    def authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        return None

    def get_user(self, user_id: Any) -> User:
        return User(pk=int(user_id), password="a hash")


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def login(request: HttpRequest, user: int) -> HttpResponse:
    auth.login(request, Backend().get_user(user))
    return HttpResponse(str(user))


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user.pk or ""))


def write(request: HttpRequest, value: int) -> HttpResponse:
    if request.user.is_authenticated:
        request.session["written"] = value
    return read(request)


urlpatterns = [
    path("", index),
    path("login/<int:user>", login),
    path("read", read),
    path("write/<int:value>", write),
]
app = get_wsgi_application()
