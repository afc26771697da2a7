"""From a URL to the servers it means."""

from __future__ import annotations

import math
import re
import ssl
from dataclasses import replace
from typing import Any, Final

from sessionstore.core.errors import ConfigurationError
from sessionstore.stores.auth import credentials_from
from sessionstore.stores.credentials import Credentials
from sessionstore.stores.dialing import tls_context
from sessionstore.stores.location import Location
from sessionstore.stores.memcached.discovery import DEFAULT_POLL, Discovered
from sessionstore.stores.memcached.endpoint import CODECS, DEFAULT_PORT, Endpoint
from sessionstore.stores.memcached.topology import Fixed, Node, Topology

DISCOVERING: Final = frozenset({"memcached+discover", "memcacheds+discover"})

_CONFIGURATION_ENDPOINT: Final = re.compile(
    r"[a-z0-9-]+\.[a-z0-9]+\.cfg\.[a-z0-9]+\.cache\.amazonaws\.com(\.cn)?\.?"
)


def topology_from(location: Location, options: dict[str, Any], timeout: float) -> Topology:
    """Take what concerns the servers out of ``options``.

    :raises ConfigurationError: the URL's parts do not fit together
    """
    base = _base(location, options)
    weights, poll = options.pop("weights", None), options.pop("poll", DEFAULT_POLL)
    if location.scheme == "memcached+unix":
        return Fixed([Node(replace(base, path=_socket_path(location), port=0), timeout)])
    if not location.hosts:
        raise ConfigurationError(f"{location.scheme}: no host; write {location.scheme}://host/...")
    if location.path.strip("/"):
        raise ConfigurationError(
            f"{location.scheme}: takes no path; write {location.scheme}://host:{DEFAULT_PORT}"
        )
    endpoints = [
        replace(base, host=host, port=port or DEFAULT_PORT) for host, port in location.hosts
    ]
    if location.scheme in DISCOVERING:
        location.single_host()
        return Discovered(endpoints[0], base, timeout, _checked_poll(location, poll))
    _refuse_configuration_endpoints(location)
    weighted = zip(endpoints, _weights(location, weights), strict=True)
    return Fixed([Node(endpoint, timeout, weight) for endpoint, weight in weighted])


def _checked_poll(location: Location, poll: Any) -> float:
    if not (isinstance(poll, int | float) and math.isfinite(poll) and poll > 0):
        raise ConfigurationError(f"{location.scheme}: poll={poll!r}: give seconds, more than 0")
    return float(poll)


def _refuse_configuration_endpoints(location: Location) -> None:
    """Such a name leads to any of a cluster's servers: today to one, tomorrow to another."""
    for host, _ in location.hosts:
        if _CONFIGURATION_ENDPOINT.fullmatch(host.lower()):
            raise ConfigurationError(
                f"{location.scheme}: {host} is a configuration endpoint, which is not a server; "
                f"write {location.scheme}+discover:// instead"
            )


def _base(location: Location, options: dict[str, Any]) -> Endpoint:
    """What all servers have in common."""
    scheme = location.scheme
    credentials = _credentials(location, options)
    protocol = options.pop("protocol", None) or ("meta" if credentials is None else "binary")
    if protocol not in CODECS:
        raise ConfigurationError(f"{scheme}: protocol={protocol!r}; there are binary and meta")
    optional = options.pop("auth_optional", False)
    if optional and credentials is None:
        raise ConfigurationError(f"{scheme}: auth_optional= needs a user name and password")
    return Endpoint(
        protocol=protocol,
        credentials=credentials,
        auth_optional=optional,
        ssl_context=_tls(location, options),
    )


def _weights(location: Location, weights: tuple[int, ...] | None) -> tuple[int, ...]:
    if weights is None:
        return (1,) * len(location.hosts)
    if len(weights) != len(location.hosts):
        raise ConfigurationError(
            f"{location.scheme}: weights= has {len(weights)} numbers, one for each server, of "
            f"which there are {len(location.hosts)}"
        )
    return weights


def _credentials(location: Location, options: dict[str, Any]) -> Credentials | None:
    scheme = location.scheme
    if options.get("auth") == "iam":
        raise ConfigurationError(
            f"{scheme}: auth='iam' is for Redis and Valkey; there are env, file"
        )
    if location.password is not None and not (location.username and location.password):
        raise ConfigurationError(f"{scheme}: Memcached's log-in needs a user name and a password")
    return credentials_from(location, options)


def _tls(location: Location, options: dict[str, Any]) -> ssl.SSLContext | None:
    context: ssl.SSLContext | None = options.pop("ssl_context", None)
    files = [options.pop(name, None) for name in ("ca", "cert", "key")]
    if context is None and location.scheme.startswith("memcacheds"):
        return tls_context(location.scheme, *files)
    if any(files):
        raise ConfigurationError("memcacheds: ssl_context= excludes ca=, cert= and key=")
    return context


def _socket_path(location: Location) -> str:
    if location.hosts:
        raise ConfigurationError(
            "memcached+unix: a socket has no host; write memcached+unix:///path/to/socket "
            "(with a password: memcached+unix://user:password@/path/to/socket)"
        )
    if len(location.path) < 2:
        raise ConfigurationError("memcached+unix: the path of the socket is missing")
    return location.path
