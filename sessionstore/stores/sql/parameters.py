"""From a ``postgresql://`` URL to libpq's connection parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sessionstore.core.errors import ConfigurationError
from sessionstore.stores.location import Location

_FILES: Final = {"ca": "sslrootcert", "cert": "sslcert", "key": "sslkey"}


def connection_parameters(location: Location, options: dict[str, Any]) -> dict[str, Any]:
    """libpq's parameters; takes what it uses out of ``options``.

    With ``ca=`` or ``sslmode=verify-full``, TLS with chain and host name verified. Otherwise what
    libpq does by itself (``PGSSLMODE``, or TLS if the server offers it, unverified).

    :raises ConfigurationError: a file is missing, or the options would weaken verification
    """
    parameters: dict[str, Any] = {}
    if location.hosts:
        parameters["host"], port = location.single_host()
        if port is not None:
            parameters["port"] = port
    for name in ("host", "port"):
        if name in options:
            if name in parameters:
                raise ConfigurationError(f"postgresql: the {name} is given twice")
            parameters[name] = options.pop(name)
    if "host" not in parameters:
        raise ConfigurationError(
            "postgresql: no host; write postgresql+psycopg://user:password@host/database, "
            "or ?host=/directory for a Unix socket"
        )
    if location.username is not None:
        parameters["user"] = location.username
    if location.password is not None:
        parameters["password"] = location.password
    database = location.path[1:]
    if not database or "/" in database:
        raise ConfigurationError("postgresql: the path is the name of the database, as in /app")
    parameters["dbname"] = database
    parameters.update(_tls(options))
    return parameters


def _tls(options: dict[str, Any]) -> dict[str, str]:
    mode = options.pop("sslmode", None)
    if mode not in {None, "verify-full"}:
        raise ConfigurationError(
            f"postgresql: sslmode={mode!r} is refused: it does not verify the server. "
            "Write sslmode=verify-full, and ca=FILE unless the system knows the authority"
        )
    files = {name: options.pop(name) for name in _FILES if name in options}
    for name, file in files.items():
        if not Path(file).is_file():
            raise ConfigurationError(f"postgresql: {name}={file!r}: there is no such file")
    if ("cert" in files) != ("key" in files):
        raise ConfigurationError("postgresql: cert= and key= go together")
    if not files and mode is None:
        return {}
    tls = {_FILES[name]: file for name, file in files.items()}
    return {"sslmode": "verify-full", "sslrootcert": "system", **tls}
