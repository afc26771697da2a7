"""The shop with Django. What makes its sessions ours: SESSION_ENGINE, SESSIONSTORE, MIDDLEWARE."""

import os

from example_apps import shop

SECRET_KEY = os.environ["SESSIONSTORE_SECRET_KEY"]
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ROOT_URLCONF = "example_apps.django_app.urls"
WSGI_APPLICATION = "example_apps.django_app.wsgi.application"

SESSION_ENGINE = "sessionstore.django"
SESSIONSTORE = {"URL": os.environ["SESSIONSTORE_URL"], "MERGE": shop.MERGE}
SESSION_COOKIE_NAME = shop.COOKIE
SESSION_COOKIE_PATH = "/"

MIDDLEWARE = [
    # Instead of CsrfViewMiddleware, so that the forms work with curl too.
    "example_apps.django_app.views.refuse_other_sites",
    "sessionstore.django.SessionMiddleware",
]

TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [shop.TEMPLATES]}
]

# Without DEBUG, Django's own configuration mails errors and prints nothing.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"]},
}
