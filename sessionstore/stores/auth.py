"""What a URL says about logging in: ``user:password@``, or ``?auth=`` with where to find them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sessionstore.core.errors import ConfigurationError
from sessionstore.stores.credentials import (
    Credentials,
    fixed,
    from_code,
    from_environment,
    from_files,
)
from sessionstore.stores.location import Location

METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "env": ("password_env", "username_env"),
    "file": ("password_file", "username_file"),
    "iam": ("cache", "region", "serverless"),
}
"""``?auth=``, and the options that belong to each; all but the last must be there."""


def credentials_from(location: Location, options: dict[str, Any]) -> Credentials | None:
    """Take what concerns logging in out of ``options``; None: the server wants no password.

    :raises ConfigurationError: something is missing, or does not fit together
    """
    scheme = location.scheme
    provider, method = options.pop("credentials", None), options.pop("auth", None)
    renew = _seconds(scheme, options.pop("auth_renew", None))
    given = {
        name: options.pop(name)
        for names in METHODS.values()
        for name in names
        if options.get(name) is not None
    }
    if location.password is not None and (provider is not None or method is not None):
        raise ConfigurationError(f"{scheme}: a password in the URL excludes credentials= and auth=")
    if method is not None:
        if provider is not None:
            raise ConfigurationError(f"{scheme}: auth= excludes credentials=")
        return _by_method(location, method, given, renew)
    if given:
        name = next(iter(given))
        fitting = next(method for method, names in METHODS.items() if name in names)
        raise ConfigurationError(f"{scheme}: option {name!r} needs auth={fitting}")
    if location.username is not None and location.password is None:
        raise ConfigurationError(
            f"{scheme}: a user name without a password; write user:password@host, "
            ":password@host for the default user, or say with auth= where the password is"
        )
    if provider is not None:
        return from_code(provider, renew)
    if renew is not None:
        raise ConfigurationError(f"{scheme}: auth_renew= needs auth= or credentials=")
    if location.password is None:
        return None
    return fixed(location.username, location.password)


def _by_method(
    location: Location, method: str, given: Mapping[str, Any], renew: float | None
) -> Credentials:
    scheme, user = location.scheme, location.username
    if method not in METHODS:
        raise ConfigurationError(f"{scheme}: auth={method!r}; there are {', '.join(METHODS)}")
    if method == "iam" and not scheme.startswith("rediss"):
        raise ConfigurationError(f"{scheme}: auth=iam needs TLS, as AWS does; write rediss://")
    for name in given:
        if name not in METHODS[method]:
            raise ConfigurationError(f"{scheme}: auth={method} does not take {name}=")
    for name in METHODS[method][:-1]:
        if name not in given:
            raise ConfigurationError(f"{scheme}: auth={method} needs {name}=")
    if user is not None and any(name.startswith("username_") for name in given):
        raise ConfigurationError(f"{scheme}: the user name is given twice")
    if method == "env":
        return from_environment(user, given.get("username_env"), given["password_env"], renew)
    if method == "file":
        return from_files(user, given.get("username_file"), given["password_file"], renew)
    return _iam(location, given, renew)


def _iam(location: Location, given: Mapping[str, Any], renew: float | None) -> Credentials:
    from sessionstore.stores.aws import RENEW_SECONDS, IAMToken

    token = IAMToken(
        cache=given["cache"],
        user=location.username or "",
        region=given["region"],
        serverless=bool(given.get("serverless")),
    )
    if renew is not None and renew > RENEW_SECONDS:
        raise ConfigurationError(
            f"{location.scheme}: auth_renew={renew:g}: with auth=iam at most {RENEW_SECONDS} "
            "seconds, because AWS ends a connection after 12 hours"
        )
    return Credentials(token, renew=RENEW_SECONDS if renew is None else renew)


def _seconds(scheme: str, renew: Any) -> float | None:
    if renew is not None and not (isinstance(renew, int | float) and 0 < renew < float("inf")):
        raise ConfigurationError(f"{scheme}: auth_renew={renew!r}: give seconds, more than 0")
    return renew
