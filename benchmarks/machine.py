"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

LIBRARIES: Final = (
    "sessionstore",
    "itsdangerous",
    "ormsgpack",
    "redis",
    "hiredis",
    "Flask",
    "Flask-Session",
    "starlette",
    "starsessions",
    "Django",
    "django-redis",
    "pymemcache",
    "emcache",
    "gunicorn",
    "uvicorn",
)


def describe() -> dict[str, Any]:
    """Versions and the processor."""
    return {
        "python": platform.python_version(),
        "system": _system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in LIBRARIES},
        "redis-server": _said("redis-server", "--version"),
        "memcached": _said("memcached", "--version"),
    }


def load() -> float:
    """How many processes wanted to run, the mean of the last minute."""
    return os.getloadavg()[0]


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        name = platform.system()
    return f"{name}, {platform.machine()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _said(*command: str) -> str:
    """The version number in what a program says."""
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for word in said.replace("v=", "").split():
        if word[0].isdigit():
            return word
    return said.strip()
