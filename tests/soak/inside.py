"""What a process says of itself: the blocks of memory that Python holds, and requests so far.

RSS moves in arenas of a megabyte, so that a small leak does not show for hours. The number of
allocated blocks (``sys.getallocatedblocks``) is exact, once garbage is collected.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = "SOAK_REPORTS"
INTERVAL: Final = "SOAK_INTERVAL"


class Reporter:
    """Appends to a file named after the process, every so many seconds, if the environment says so.

    The thread begins with the first request: before that, a server may fork.
    """

    def __init__(self) -> None:
        self._directory = os.environ.get(DIRECTORY)
        self._requests = 0
        self._pid: int | None = None
        self._lock = threading.Lock()

    def request(self) -> None:
        """One more."""
        with self._lock:
            self._requests += 1
            begins = self._directory is not None and self._pid != os.getpid()
            self._pid = os.getpid()
        if begins:
            threading.Thread(target=self._report, daemon=True).start()

    def _report(self) -> None:
        assert self._directory is not None
        interval = float(os.environ[INTERVAL])
        with Path(self._directory, str(os.getpid())).open("a", buffering=1) as file:
            while True:
                gc.collect()
                line = [time.monotonic(), sys.getallocatedblocks(), self._requests]
                file.write(json.dumps(line) + "\n")
                time.sleep(interval)


def read_reports(directory: Path) -> Iterator[tuple[int, float, int, int]]:
    """Process, time, blocks and requests of each report."""
    for file in directory.iterdir():
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # who was killed in the midst of it said nothing
                at, blocks, requests = _numbers(json.loads(line))
                yield int(file.name), at, blocks, requests


def _numbers(line: list[Any]) -> tuple[float, int, int]:
    return float(line[0]), int(line[1]), int(line[2])
