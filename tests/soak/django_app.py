"""The soak's Django site: ``gunicorn tests.soak.django_app:app``. Settings, view and all."""

from __future__ import annotations

import os
import time

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from tests.soak.views import Request
from tests.support.calling import COOKIE


def ready(request: HttpRequest) -> HttpResponse:
    """Without a session."""
    return HttpResponse("ready")


def view(asked: HttpRequest, rest: str) -> HttpResponse:
    """The same as in the other sites."""
    request = Request(rest, asked.META["QUERY_STRING"])
    request.look(asked.session)
    time.sleep(request.pause)
    request.act(asked.session)
    return JsonResponse(request.body, status=request.status)


settings.configure(
    SECRET_KEY=os.environ["SESSIONSTORE_SECRET_KEY"],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=(path("ready", ready), path("<path:rest>", view)),
    MIDDLEWARE=["sessionstore.django.SessionMiddleware"],
    SESSION_ENGINE="sessionstore.django",
    SESSION_COOKIE_NAME=COOKIE,
    SESSIONSTORE={"ROTATION_GRACE": int(os.environ["SOAK_GRACE"])},
    LOGGING_CONFIG=None,
)
django.setup()
app = WSGIHandler()
