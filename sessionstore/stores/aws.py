"""Passwords for ElastiCache by AWS IAM: a token for each connection, signed when it is opened.

The token is a presigned request (AWS Signature Version 4 in the query), without its ``http://``.
It is good for 15 minutes, and a connection for 12 hours after it. It is never kept, because a
kept one outlives the temporary credentials that signed it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sessionstore.core.errors import (
    ConfigurationError,
    MissingExtra,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.stores.lifetime import forget_after_fork

try:
    from botocore.auth import SIGV4_TIMESTAMP, SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError
    from botocore.session import Session
except ModuleNotFoundError as error:
    if error.name != "botocore":
        raise
    raise MissingExtra("auth=iam", "aws") from None

TOKEN_SECONDS: Final = 900
"""How long AWS accepts a token: the longest that it allows."""

RENEW_SECONDS: Final = 11 * 3600
"""AWS ends a connection 12 hours after its last log-in: this leaves an hour for trying."""

# The names that AWS allows: 40 characters, letters, digits and hyphens.
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_USER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")
_REGION: Final = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")

# Untyped, because botocore is.
_Base: Any = SigV4QueryAuth


class _Signer(_Base):  # type: ignore[misc]
    """botocore's, but by the time given, and without writing the signature to the log (DEBUG)."""

    def sign(self, url: str, params: dict[str, str], now: datetime) -> str:
        request = AWSRequest("GET", url, params=params)
        request.context["timestamp"] = now.strftime(SIGV4_TIMESTAMP)
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))
        signed: str = request.url
        return signed


class IAMToken:
    """A provider of credentials: the user, and a token signed now.

    :param cache: the replication group's id, or the serverless cache's name; not the endpoint
    :param user: the ElastiCache user, whose id must equal its name
    :param session: botocore's; by default one that finds credentials where AWS's tools do: the
        environment, ``~/.aws``, a web identity, a container's or an instance's role
    :raises ConfigurationError: one of them cannot be a name of AWS's
    """

    def __init__(
        self,
        *,
        cache: str,
        user: str,
        region: str,
        serverless: bool = False,
        session: Callable[[], Any] = Session,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cache = cache.lower()
        if not _NAME.fullmatch(self._cache):
            raise ConfigurationError(
                f"cache={cache!r}: give the id of the replication group, or the name of the "
                "serverless cache; it is the first part of the endpoint, not the endpoint"
            )
        if not _USER.fullmatch(user):
            raise ConfigurationError(
                "auth=iam needs the ElastiCache user in the URL: rediss://user@host:6379"
            )
        if not _REGION.fullmatch(region):
            raise ConfigurationError(f"region={region!r}: give a region of AWS, as eu-west-1")
        self._user = user
        self._region = region
        self._serverless = serverless
        self._make_session = session
        self._clock = clock
        self._reset()
        forget_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._source: Any = None

    after_fork = _reset

    def __repr__(self) -> str:
        return f"<IAMToken {self._user}@{self._cache} {self._region}>"

    def __call__(self) -> tuple[str, str]:
        """The user and a fresh token. May ask AWS for credentials: up to seconds, the first time.

        :raises StoreRefused: there are no AWS credentials
        :raises StoreUnavailable: they could not be had now
        """
        signer = _Signer(self._credentials(), "elasticache", self._region, expires=TOKEN_SECONDS)
        params = {"Action": "connect", "User": self._user}
        if self._serverless:
            params["ResourceType"] = "ServerlessCache"
        url = signer.sign(f"http://{self._cache}/", params, self._clock())
        return self._user, url.removeprefix("http://")

    def _credentials(self) -> Any:
        try:
            with self._lock:
                if self._source is None:
                    self._source = self._make_session().get_credentials()
                source = self._source
            if source is None:
                raise NoCredentialsError
            # botocore renews them by itself when they are about to expire, and hands out the
            # old ones as long as they are good.
            return source.get_frozen_credentials()
        except (NoCredentialsError, PartialCredentialsError):
            raise StoreRefused(
                "auth=iam: there are no AWS credentials (environment, profile, role)"
            ) from None
        except BotoCoreError as error:
            # Not its text, which may quote an answer of AWS's.
            raise StoreUnavailable(
                f"auth=iam: AWS gave no credentials ({type(error).__name__})"
            ) from None
