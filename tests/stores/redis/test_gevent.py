"""Under gevent: many greenlets, killed at any moment (SECURITY row 26)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.redis_topologies import SentinelGroup
from tests.support.servers import RedisServer

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("kind", ["one server", "sentinel"])
def test_no_greenlet_gets_anothers_reply(
    redis_server: RedisServer, sentinel_group: SentinelGroup, prefix: str, kind: str
) -> None:
    keeps_its_replies_apart(
        redis_server.url if kind == "one server" else sentinel_group.url, prefix
    )


def keeps_its_replies_apart(url: str, prefix: str, *, servers: int = 1) -> None:
    """Let greenlets loose on the store of this URL, and look at what each of them has got.

    :param servers: that sessions are spread over
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.stores.redis.greenlets", url, prefix],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["foreign"] == []
    assert report["failed"] == []
    assert report["stuck"] == 0
    assert report["read"] >= 40 * 15, "the quarter that nobody killed"
    assert report["killed"] > 20
    assert report["connections"] <= 6 * servers
    assert report["served"] == 40
    assert report["threads"] == 1
