"""wrk, which asks as fast as it is answered."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.serving import Served

CONNECTIONS: Final = 16
SCRIPT: Final = Path(__file__).with_name("load.lua")


class Load(NamedTuple):
    """What came of it: requests a second; microseconds."""

    rate: float
    median: float
    p99: float


def put_load(site: Served, kind: str, seconds: int) -> Load:
    """Ask for one kind of request on 16 connections, each time for another user.

    :raises RuntimeError: an answer was not 200, or none
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as cookies:
        cookies.writelines(f"{cookie}\n" for cookie in site.cookies)
        cookies.flush()
        said = subprocess.run(
            [
                *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(SCRIPT)),
                f"http://127.0.0.1:{site.port}",
            ],
            env={**os.environ, "BENCH_COOKIES": cookies.name, "BENCH_PATH": f"/{kind}"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    [line] = [line for line in said.splitlines() if line.startswith("RESULT")]
    requests, micros, failed, median, p99 = map(int, line.split()[1:])
    if failed or not requests:
        raise RuntimeError(f"{site.name}, {kind}: {failed} of {requests} requests failed:\n{said}")
    site.check(kind)
    return Load(requests / micros * 1e6, median, p99)
