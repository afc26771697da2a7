"""The shop's views and its two middlewares."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from example_apps import shop
from sessionstore.django import SessionStore

View = Callable[[HttpRequest], HttpResponse]


def session_of(request: HttpRequest) -> SessionStore:
    """Django's session, with what sessionstore adds: subject, handle, login(), logout()."""
    return cast(SessionStore, request.session)


def form_post(view: View) -> View:
    """A view that takes a form: 405 for another method, 400 for a bad field."""

    @require_POST
    def checked(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except shop.BadForm as error:
            return HttpResponse(f"{error}\n", status=400, content_type="text/plain")

    return checked


def home(request: HttpRequest) -> HttpResponse:
    names = ("home", "whoami", "login", "logout", "visit", "cart", "style")
    urls = {name: reverse(name) for name in names}
    return render(request, "shop.html", shop.page("django", session_of(request), urls))


def whoami(request: HttpRequest) -> HttpResponse:
    return JsonResponse(shop.whoami("django", session_of(request)))


@form_post
def login(request: HttpRequest) -> HttpResponse:
    session_of(request).login(shop.clean(request.POST.get("user"), "user"))
    return SeeOther(reverse("home"))


@form_post
def logout(request: HttpRequest) -> HttpResponse:
    session_of(request).logout()
    return SeeOther(reverse("home"))


@form_post
def visit(request: HttpRequest) -> HttpResponse:
    shop.visit(request.session)
    return SeeOther(reverse("home"))


@form_post
def cart(request: HttpRequest) -> HttpResponse:
    shop.add_to_cart(request.session, shop.clean(request.POST.get("item"), "item"), "django")
    return SeeOther(reverse("home"))


def style(request: HttpRequest) -> HttpResponse:
    return HttpResponse((shop.STATIC / "style.css").read_bytes(), content_type="text/css")


class SeeOther(HttpResponseRedirect):
    """The answer to a form that was accepted: reloading the page does not send it again."""

    status_code = 303


def refuse_other_sites(get_response: View) -> View:
    def middleware(request: HttpRequest) -> HttpResponse:
        if shop.is_cross_site(request.method or "", request.headers.get):
            return HttpResponse(shop.REFUSED, status=403, content_type="text/plain")
        return get_response(request)

    return middleware
