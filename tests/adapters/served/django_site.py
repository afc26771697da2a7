"""``django_site:wsgi`` for gunicorn, and ``django_site:asgi`` for uvicorn."""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path, re_path

from tests.drill.views import respond
from tests.support.calling import COOKIE

settings.configure(
    SECRET_KEY=os.environ["SESSIONSTORE_SECRET_KEY"],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SESSION_ENGINE="sessionstore.django",
    SESSIONSTORE={"URL": os.environ["SESSIONSTORE_URL"]},
    SESSION_COOKIE_NAME=COOKIE,
    MIDDLEWARE=["sessionstore.django.SessionMiddleware"],
)
django.setup()


def view(request: HttpRequest) -> JsonResponse:
    status, body = respond(request.path, request.session)
    return JsonResponse(body, status=status)


async def aview(request: HttpRequest) -> JsonResponse:
    if request.path != "/async/":
        await request.session.aget("user")  # what follows finds it loaded
    status, body = respond(request.path.removeprefix("/async"), request.session)
    return JsonResponse(body, status=status)


urlpatterns = [path("async/", aview), re_path(r"^async/.*$", aview), re_path(r"^.*$", view)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
