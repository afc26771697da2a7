"""Optional: Django users for logins that were made elsewhere.

A session that Flask or an ASGI app has logged in has a ``subject``, but nothing of what
``django.contrib.auth`` keeps in a session. With these two, ``request.user`` is that user::

    AUTHENTICATION_BACKENDS = [
        "sessionstore.django.auth.SubjectBackend",  # finds the user; permissions as in Django
        "django.contrib.auth.backends.ModelBackend",
    ]
    MIDDLEWARE = [
        "sessionstore.django.SessionMiddleware",
        "sessionstore.django.auth.SubjectMiddleware",  # instead of AuthenticationMiddleware
    ]

Only for frameworks that mean the same users: the subject is looked up as the user's primary key
(or by the ``field`` of a subclass of the backend). Nothing is written to the session. Django's rule
that a changed password ends the user's other sessions holds only for logins made in Django.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from sessionstore.django.engine import SessionStore


class SubjectBackend(ModelBackend):
    """Finds the user that a session's subject names. It authenticates nobody by itself.

    Subclass it to look for something else than the primary key, or to create users.
    """

    field: str = "pk"
    """The field of the user model that a subject is a value of."""

    def authenticate(
        self, request: HttpRequest | None, username: Any = None, password: Any = None, **kwargs: Any
    ) -> None:
        """A subject is no credential: whoever could send one would be anybody."""

    async def aauthenticate(
        self, request: HttpRequest | None, username: Any = None, password: Any = None, **kwargs: Any
    ) -> None:
        """See :meth:`authenticate`."""

    def find(self, subject: str) -> Any:
        """The active user of this subject, or None."""
        users = auth.get_user_model()._default_manager
        try:
            return self._accept(users.get(**{self.field: subject}))
        except (users.model.DoesNotExist, ValueError, ValidationError):
            return None  # nobody's, or no id of this model's: then nobody is logged in

    async def afind(self, subject: str) -> Any:
        """:meth:`find` for asyncio."""
        users = auth.get_user_model()._default_manager
        try:
            return self._accept(await users.aget(**{self.field: subject}))
        except (users.model.DoesNotExist, ValueError, ValidationError):
            return None  # nobody's, or no id of this model's: then nobody is logged in

    def _accept(self, user: Any) -> Any:
        return user if self.user_can_authenticate(user) else None


class SubjectMiddleware(AuthenticationMiddleware):
    """Django's ``AuthenticationMiddleware``, for sessions that were logged in elsewhere too.

    :raises ImproperlyConfigured: at start-up, if no ``SubjectBackend`` is configured
    """

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        for path in settings.AUTHENTICATION_BACKENDS:
            backend = auth.load_backend(path)
            if isinstance(backend, SubjectBackend):
                self._backend, self._path = backend, path
                return
        raise ImproperlyConfigured(
            "SubjectMiddleware needs sessionstore.django.auth.SubjectBackend (or a subclass)"
            " in AUTHENTICATION_BACKENDS"
        )

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: self._get_user(request))  # type: ignore[assignment]  # as Django's own
        request.auser = partial(self._aget_user, request)

    # Cached where contrib.auth's own middleware does, so that the two agree.

    def _get_user(self, request: Any) -> Any:
        if not hasattr(request, "_cached_user"):
            user = auth.get_user(request)
            subject = None if user.is_authenticated else _foreign_subject(request.session)
            found = None if subject is None else self._backend.find(subject)
            request._cached_user = user if found is None else self._marked(found)
        return request._cached_user

    async def _aget_user(self, request: Any) -> Any:
        if not hasattr(request, "_acached_user"):
            user = await auth.aget_user(request)
            subject = None if user.is_authenticated else _foreign_subject(request.session)
            found = None if subject is None else await self._backend.afind(subject)
            request._acached_user = user if found is None else self._marked(found)
        return request._acached_user

    def _marked(self, user: Any) -> Any:
        user.backend = self._path
        return user


def _foreign_subject(session: Any) -> str | None:
    """The subject, unless Django's own login is there: then contrib.auth has decided."""
    if not isinstance(session, SessionStore) or auth.SESSION_KEY in session:
        return None
    return session.subject
