"""From a URL to the servers it means."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sessionstore.core.errors import ConfigurationError
from sessionstore.stores.auth import credentials_from
from sessionstore.stores.credentials import (
    Credentials,
    fixed,
    from_code,
    from_environment,
    from_files,
)
from sessionstore.stores.dialing import tls_context
from sessionstore.stores.location import Location, hosts_in
from sessionstore.stores.redis.cluster import Cluster
from sessionstore.stores.redis.endpoint import DEFAULT_PORT, Endpoint
from sessionstore.stores.redis.sentinel import Sentinels
from sessionstore.stores.redis.topology import Fixed, Node, Topology

SENTINEL_PORT: Final = 26379


def topology_from(location: Location, options: dict[str, Any], timeout: float) -> Topology:
    """Take what concerns the servers out of ``options``.

    :raises ConfigurationError: the URL's parts do not fit together
    """
    kind = location.scheme.partition("+")[2]
    reads = _reads_from_replicas(location.scheme, options)
    credentials = credentials_from(location, options)
    if kind == "unix":
        return Fixed(Node(_unix(location, options.pop("db", 0), credentials), timeout))
    files = {name: options.pop(name, None) for name in ("ca", "cert", "key")}
    context = _context(location.scheme, options.pop("ssl_context", None), files)
    base = Endpoint(credentials=credentials, ssl_context=context)
    if kind == "sentinel":
        return _sentinels(location, base, files, options, timeout, reads=reads)
    if kind == "cluster":
        if location.path.strip("/") not in {"", "0"}:
            raise ConfigurationError(f"{location.scheme}: a cluster has one database, /0")
        seeds = _endpoints(base, _several_hosts(location), DEFAULT_PORT)
        return Cluster(base, seeds, timeout, read_replicas=reads)
    return _one_server(location, base, options.pop("replica", None), timeout, reads=reads)


def _one_server(
    location: Location, base: Endpoint, copies: str | None, timeout: float, *, reads: bool
) -> Topology:
    host, port = location.single_host()
    base = replace(base, db=_database(location.scheme, location.path))
    if reads != (copies is not None):
        raise ConfigurationError(
            f"{location.scheme}: read_from=replica and replica=HOST:PORT belong together"
        )
    replicas = _endpoints(base, hosts_in(location.scheme, copies), DEFAULT_PORT) if copies else ()
    primary = replace(base, host=host, port=port or DEFAULT_PORT)
    return Fixed(
        Node(primary, timeout), [Node(endpoint, timeout, "replica") for endpoint in replicas]
    )


def _sentinels(
    location: Location,
    base: Endpoint,
    files: dict[str, str | None],
    options: dict[str, Any],
    timeout: float,
    *,
    reads: bool,
) -> Topology:
    scheme = location.scheme
    service, _, db = location.path.removeprefix("/").partition("/")
    if not service:
        raise ConfigurationError(
            f"{scheme}: the path is the name of the service that the sentinels watch, and the "
            "database's number, as in /mymaster/0"
        )
    context = options.pop("sentinel_ssl_context", None) or base.ssl_context
    own = {name: options.pop(f"sentinel_{name}", None) for name in ("ca", "cert", "key")}
    if any(own.values()):
        context = tls_context(scheme, **{name: own[name] or files[name] for name in own})
    sentinel = Endpoint(credentials=_sentinel_credentials(scheme, options), ssl_context=context)
    return Sentinels(
        service,
        _endpoints(sentinel, _several_hosts(location), SENTINEL_PORT),
        replace(base, db=_database(scheme, db)),
        timeout,
        read_replicas=reads,
    )


def _sentinel_credentials(scheme: str, options: dict[str, Any]) -> Credentials | None:
    """The sentinels' own: by default they want none."""
    names = ("credentials", "password", "password_env", "password_file", "username")
    given = {name: options.pop(f"sentinel_{name}", None) for name in names}
    user = given.pop("username")
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1 or (user is not None and not given.keys() - {"credentials"}):
        raise ConfigurationError(
            f"{scheme}: sentinel_username= goes with one of sentinel_password=, "
            "sentinel_password_env= and sentinel_password_file="
        )
    if "password" in given:
        return fixed(user, given["password"])
    if "password_env" in given:
        return from_environment(user, None, given["password_env"], None)
    if "password_file" in given:
        return from_files(user, None, given["password_file"], None)
    return from_code(given["credentials"], None) if given else None


def _context(
    scheme: str, context: ssl.SSLContext | None, files: dict[str, str | None]
) -> ssl.SSLContext | None:
    if scheme.startswith("rediss") and context is None:
        return tls_context(scheme, **files)
    if any(files.values()):
        raise ConfigurationError("rediss: ssl_context= excludes ca=, cert= and key=")
    return context


def _reads_from_replicas(scheme: str, options: dict[str, Any]) -> bool:
    source = options.pop("read_from", "primary")
    if source not in {"primary", "replica"}:
        raise ConfigurationError(f"{scheme}: read_from={source!r}: primary or replica")
    return bool(source == "replica")


def _several_hosts(location: Location) -> tuple[tuple[str, int | None], ...]:
    if not location.hosts:
        scheme = location.scheme
        raise ConfigurationError(f"{scheme}: no host; write {scheme}://host1,host2,host3/...")
    return location.hosts


def _endpoints(
    base: Endpoint, hosts: Sequence[tuple[str, int | None]], port: int
) -> tuple[Endpoint, ...]:
    return tuple(replace(base, host=host, port=own or port) for host, own in hosts)


def _database(scheme: str, path: str) -> int:
    db = path.strip("/") or "0"
    if not (db.isascii() and db.isdigit() and len(db) < 6):
        raise ConfigurationError(f"{scheme}: the path is the database's number, as in /0")
    return int(db)


def _unix(location: Location, db: int, credentials: Credentials | None) -> Endpoint:
    if location.hosts:
        raise ConfigurationError(
            "redis+unix: a socket has no host; write redis+unix:///path/to/socket "
            "(with a password: redis+unix://user:password@/path/to/socket)"
        )
    if len(location.path) < 2:
        raise ConfigurationError("redis+unix: the path of the socket is missing")
    return Endpoint(path=location.path, db=db, credentials=credentials)
