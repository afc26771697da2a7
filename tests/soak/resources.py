"""What each process of the sites holds: memory, file descriptors and threads, from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measurement:
    """One process at one moment.

    :param rss: bytes
    """

    at: float
    pid: int
    site: str
    rss: int
    descriptors: int
    threads: int


def members(session: int) -> list[int]:
    """Every process of this session (setsid), oldest first."""
    found = []
    for pid, fields in _processes():
        if int(fields[3]) == session and fields[0] != "Z":
            found.append((int(fields[19]), pid))
    return [pid for _, pid in sorted(found)]


def descendants(pid: int) -> list[int]:
    """This process and all that came of it, whatever session they are in."""
    parents: dict[int, list[int]] = {}
    for child, fields in _processes():
        parents.setdefault(int(fields[1]), []).append(child)
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Each process' id and what /proc/PID/stat says from its third field (the state) on."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The second field, the command in brackets, may hold anything.
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()


def measure(pid: int, site: str) -> Measurement:
    """One process.

    :raises OSError: it is no more
    """
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    return Measurement(
        time.monotonic(),
        pid,
        site,
        pages * PAGE,
        sum(1 for _ in (process / "fd").iterdir()),
        sum(1 for _ in (process / "task").iterdir()),
    )


class Watch:
    """Measures every process of the sites, again and again, while the ``with`` block runs.

    :param sessions: name and session id of each site; it may change
    :param interval: seconds
    """

    def __init__(self, sessions: Mapping[str, int], interval: float) -> None:
        self.measurements: list[Measurement] = []
        self._sessions = sessions
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval):
            for site, session in list(self._sessions.items()):
                for pid in members(session):
                    with suppress(OSError):
                        self.measurements.append(measure(pid, site))
