"""What a server tells, with scripted replies: what it does not tell, or tells otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from sessionstore.core.errors import StoreFull, StoreRefused, StoreUnavailable
from sessionstore.core.flow import Command, run
from sessionstore.stores.facts import Link, MemcachedFacts
from sessionstore.stores.memcached.examination import examine
from sessionstore.stores.memcached.messages import Outcome, Reply, Verb

KEY, PROBE = b"p:s:probe", bytes(600)
REFUSED = StoreRefused("the server does not know the command")
LINK = Link("tcp", "cache.example")
STATS = {"evictions": "7", "limit_maxbytes": "1000", "rejected_connections": "2", "uptime": "60"}
STATS |= {"get_hits": "9", "get_misses": "1"}
SETTINGS = {
    "evictions": "on",
    "item_size_max": "1048576",
    "flush_enabled": "yes",
    "auth_enabled_sasl": "no",
    "auth_enabled_ascii": "no",
}
SLABS = {
    "1:chunk_size": "100",
    "1:used_chunks": "3",
    "5:chunk_size": "500",
    "5:used_chunks": "1",
    "active_slabs": "2",
    "total_malloced": "2097152",
}


class Server:
    """Answers; what it does not know it refuses."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"get": Reply(Outcome.MISSING), **answers}
        self.asked: list[tuple[str, bytes]] = []

    def examine(self) -> MemcachedFacts:
        return run(examine(KEY, PROBE, LINK, logged_in=False), self.execute)

    def execute(self, command: Command[Any]) -> Any:
        request = command.request
        name = request.verb.name.lower()
        self.asked.append((name, request.key))
        if request.verb is Verb.STATS:
            name = request.key.decode() or "stats"
        answer = self.answers.get(name, REFUSED)
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Reply(Outcome.OK, stats=answer) if isinstance(answer, dict) else answer


def test_a_server_that_refuses_everything_but_sessions() -> None:
    server = Server()
    refused = ("version", "stats", "stats settings", "stats slabs")
    assert server.examine() == MemcachedFacts(refused=refused, link=LINK)
    assert "add" not in {name for name, _ in server.asked}, "nothing could be measured by it"


def test_a_server_that_tells_all() -> None:
    version = Reply(Outcome.OK, b"1.6.18")
    facts = Server(version=version, stats=STATS, settings=SETTINGS, slabs=SLABS).examine()
    assert facts == MemcachedFacts(
        server="memcached 1.6.18",
        link=LINK,
        asks="",
        evicts=True,
        evicted=7,
        maxmemory=1000,
        used=800,
        session_bytes=200,
        sampled=4,
        item_size=1048576,
        turned_away=2,
        flushable=True,
        uptime=60,
        hits=9,
        misses=1,
    )


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        ({"auth_enabled_sasl": "yes", "auth_enabled_ascii": "no"}, "SASL"),
        ({"auth_enabled_sasl": "no", "auth_enabled_ascii": "/etc/memcached.users"}, "-Y"),
        ({"auth_enabled_sasl": "no"}, ""),
        ({}, None),
    ],
)
def test_how_it_asks(settings: dict[str, str], asks: str | None) -> None:
    assert Server(settings=settings).examine().asks == asks


def test_the_probe_is_deleted_and_not_counted() -> None:
    done = Reply(Outcome.OK, cas=1)
    with_probe = {"9:chunk_size": "752", "9:used_chunks": "1"}
    server = Server(slabs=[{"total_malloced": "0"}, with_probe], add=done, delete=done)
    facts = server.examine()
    assert (facts.session_bytes, facts.sampled, facts.used) == (752, 0, 0)
    assert [key for name, key in server.asked if name in {"add", "delete"}] == [KEY, KEY]


@pytest.mark.parametrize("error", [StoreFull("-M"), StoreUnavailable("down"), REFUSED])
def test_a_server_that_takes_no_probe(error: Exception) -> None:
    facts = Server(slabs={}, add=error).examine()
    assert (facts.session_bytes, facts.used) == (None, 0)


@pytest.mark.parametrize("error", [REFUSED, StoreUnavailable("connection refused")])
def test_a_server_without_sessions_is_an_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        Server(get=error).examine()


def test_a_server_that_goes_away_meanwhile_is_an_error() -> None:
    with pytest.raises(StoreUnavailable):
        Server(stats=StoreUnavailable("connection lost")).examine()


def test_statistics_that_there_are_none_of() -> None:
    assert "stats slabs" in Server(slabs=Reply(Outcome.MISSING)).examine().refused


def test_a_number_that_is_none() -> None:
    for number in ("many", "9" * 5000):  # more digits than Python reads
        facts = Server(stats={"evictions": number}, slabs={"1:chunk_size": number}).examine()
        assert (facts.evicted, facts.session_bytes) == (None, None)
