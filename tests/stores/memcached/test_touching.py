"""The two requests that give an item a new expiry, in both protocols, on a real server."""

from __future__ import annotations

import socket

import pytest

from sessionstore.core.flow import Command, Flow
from sessionstore.core.verbs import Exists
from sessionstore.stores.memcached.messages import Outcome, Reply, Request, Verb
from sessionstore.testing.driving import value
from tests.stores.memcached.conftest import READY, MakeRunner, Runner
from tests.support.memcached_servers import MemcachedServer


def asked(request: Request) -> Flow[Reply]:
    return (yield from Command(request, lambda reply: reply, key=request.key))


def seconds_left(server: MemcachedServer, key: bytes) -> int:
    """As the server says, to somebody else."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.socket))
        client.sendall(b"mg %b t\r\n" % key)
        status, _, left = client.makefile("rb").readline().partition(b" t")
    assert status == b"HD"
    return int(left)


@pytest.fixture(params=["sync", "async"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["meta", "binary"])
def run(
    request: pytest.FixtureRequest,
    memcached_server: MemcachedServer,
    running: MakeRunner,
    how: str,
) -> Runner:
    return running(f"{memcached_server.url}?protocol={request.param}", how, timeout=READY)


def test_an_item_gets_a_new_expiry(run: Runner, memcached_server: MemcachedServer) -> None:
    key = run.store.key("touched")
    cas = run(run.store.create(key, value(1), 60))
    assert not isinstance(cas, Exists)

    touched = run(asked(Request(Verb.TOUCH, key, ttl=6000)))
    assert (touched.outcome, touched.value) == (Outcome.OK, None)
    assert 5000 < seconds_left(memcached_server, key) <= 6001

    found = run(asked(Request(Verb.GAT, key, ttl=60_000)))
    assert (found.outcome, found.value, found.cas) == (Outcome.OK, value(1), cas)
    assert 50_000 < seconds_left(memcached_server, key) <= 60_001

    # More than 30 days are a time since 1970 to Memcached.
    run(asked(Request(Verb.TOUCH, key, ttl=40 * 86400)))
    assert 39 * 86400 < seconds_left(memcached_server, key) <= 40 * 86400 + 2


def test_an_item_that_is_not_there(run: Runner) -> None:
    for verb in (Verb.GAT, Verb.TOUCH):
        reply = run(asked(Request(verb, run.store.key("nobody"), ttl=60)))
        assert (reply.outcome, reply.value) == (Outcome.MISSING, None)
