"""The shop's addresses, the same in each framework."""

from django.urls import path

from example_apps.django_app import views

urlpatterns = [
    path("", views.home, name="home"),
    path("whoami", views.whoami, name="whoami"),
    path("login", views.login, name="login"),
    path("logout", views.logout, name="logout"),
    path("visit", views.visit, name="visit"),
    path("cart", views.cart, name="cart"),
    path("static/style.css", views.style, name="style"),
]
