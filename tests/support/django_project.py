"""Settings for every Django test of this process: a process can configure Django only once.

Import this before anything that needs settings; tests change single ones by ``override_settings``.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import django
from django.conf import settings

SECRET = "a secret key for tests, of more than 32 bytes"


def configure() -> None:
    """Configure Django, if nobody has."""
    if settings.configured:
        return
    # A file: an in-memory database would belong to one thread, and async views use several.
    directory = Path(tempfile.mkdtemp(prefix="sessionstore-django-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    settings.configure(
        SECRET_KEY=SECRET,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": directory / "db.sqlite3"}
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",  # for `manage.py clearsessions`; its table stays unused
            "sessionstore.django",
        ],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=(),
        SESSION_ENGINE="sessionstore.django",
        SESSIONSTORE={"URL": "memory://"},
        MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage",
        LOGGING_CONFIG=None,
    )
    django.setup()


configure()
