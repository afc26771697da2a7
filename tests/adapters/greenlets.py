"""Run by ``test_crowds.py`` in a process of its own: a site on gevent, whose requests are killed.

Prints who was served, and what of it was somebody else's.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402 - everything else must find the patched modules
import json
import sys
from typing import Any

import gevent

from sessionstore import open_store
from sessionstore.stores.redis import RedisStore
from tests.support.sites import Browser, DjangoSite, FlaskSite, begun

GREENLETS, ROUNDS, CONNECTIONS = 32, 20, 4
PATIENCES = (0.001, 0.004, 0.01, None)
"""Seconds until a request is killed, in turn."""


def visit(session: Any) -> Any:
    session["visits"] += 1
    return session["name"]


def main(kind: str, url: str, prefix: str) -> None:
    store = open_store(url, prefix=prefix, timeout=20, max_connections=CONNECTIONS)
    assert isinstance(store, RedisStore)
    site = {"flask": FlaskSite, "django": DjangoSite}[kind](store)
    users = [begun(site, name=number, visits=0) for number in range(GREENLETS)]
    served, killed, foreign = 0, 0, []

    def use(number: int, me: Browser) -> None:
        nonlocal served, killed
        for turn in range(ROUNDS):
            try:
                with gevent.Timeout(PATIENCES[turn % len(PATIENCES)]):
                    answer = me.get(visit)
            except gevent.Timeout:
                killed += 1
                continue
            served += 1
            if answer.result != number:
                foreign.append(f"{number} {answer.status} {answer.result} {answer.error!r}")

    with site.serving():
        greenlets = [gevent.spawn(use, number, me) for number, me in enumerate(users)]
        gevent.joinall(greenlets, timeout=100)
    report = {
        "served": served,
        "killed": killed,
        "foreign": foreign,
        "failed": [repr(each.exception) for each in greenlets if not each.successful()],
        "connections": store.connections,
    }
    store.close()
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
