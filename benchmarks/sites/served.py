"""A site for gunicorn or uvicorn: ``benchmarks.sites.served:app``, which one is in BENCH_SITE."""

from __future__ import annotations

import os

from benchmarks.servers import Servers
from benchmarks.sites import SITES

app = SITES[os.environ["BENCH_SITE"]].make(Servers.from_environment(dict(os.environ)))
