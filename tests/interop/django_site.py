"""gunicorn tests.interop.django_site:wsgi, and uvicorn tests.interop.django_site:asgi"""

from __future__ import annotations

import os
from typing import Any, cast

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.safestring import SafeString

from tests.interop import values

settings.configure(
    SECRET_KEY=values.SECRET,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SESSION_ENGINE="sessionstore.django",
    SESSIONSTORE={"URL": os.environ["SESSIONSTORE_URL"]},
    SESSION_COOKIE_NAME=values.COOKIE,
    MIDDLEWARE=["sessionstore.django.SessionMiddleware"],
)
django.setup()


def read(request: HttpRequest) -> HttpResponse:
    return JsonResponse(values.read(request.session))


def write(request: HttpRequest) -> HttpResponse:
    values.write(request.session)
    # Django's own class for it.
    safe = SafeString(values.VALUES["markup"])
    request.session["markup"] = safe
    return HttpResponse()


def change(request: HttpRequest) -> HttpResponse:
    values.change(request.session)
    return HttpResponse()


def login(request: HttpRequest, user: str) -> HttpResponse:
    cast(Any, request.session).login(user)
    return HttpResponse()


async def aread(request: HttpRequest) -> HttpResponse:
    items = await request.session.aitems()
    return JsonResponse({"values": {name: values.describe(value) for name, value in items}})


urlpatterns = [
    path("read", read),
    path("aread", aread),
    path("write", write),
    path("change", change),
    path("login/<user>", login),
]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
