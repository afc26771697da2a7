"""What a server tells, with scripted replies: what it does not tell, or tells otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from sessionstore.core.errors import StoreFull, StoreRefused, StoreUnavailable
from sessionstore.core.flow import Command, run
from sessionstore.stores.facts import Permissions, RedisFacts, RedisUser
from sessionstore.stores.redis.examination import SAMPLES, SCANS, UNCOUNTED, examine

PROBE = (b"p:s:probe", bytes(600))
INFO = {
    "maxmemory_policy": "allkeys-lru",
    "maxmemory": "1000",
    "used_memory": "300",
    "mem_not_counted_for_evict": "100",
    "evicted_keys": "7",
    "aof_enabled": "0",
    "role": "master",
    "connected_slaves": "2",
}
REFUSED = StoreRefused("no permission (NOPERM)")


def info(**changes: str) -> bytes:
    lines = [f"{name}:{value}" for name, value in {**INFO, **changes}.items()]
    return "\r\n".join(["# Memory", *lines, ""]).encode()


class Server:
    """Answers by the command's first word or two; what it does not know it refuses."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {name.replace("_", " "): answer for name, answer in answers.items()}
        self.asked: list[tuple[Any, ...]] = []

    def examine(self) -> RedisFacts:
        return run(examine("p", b"p:s:*", PROBE), self.execute)

    def execute(self, command: Command[Any]) -> Any:
        request = command.request
        self.asked.append(request)
        for name in (" ".join(map(str, request[:2])), request[0]):
            if name in self.answers:
                answer = self.answers[name]
                answer = answer(request) if callable(answer) else answer
                if isinstance(answer, Exception):
                    raise answer
                return answer
        if request[0] == "GET":
            return None
        raise REFUSED


def config(request: tuple[Any, ...]) -> list[bytes]:
    values = {"maxmemory": b"5", "appendonly": b"yes", "appendfsync": b"always", "save": b""}
    name = request[2]
    return [name.encode(), values[name]] if name in values else []


def test_a_server_that_refuses_everything_but_sessions() -> None:
    facts = Server().examine()
    refused = ("HELLO", "INFO", "CONFIG GET", "ACL WHOAMI", "SCAN", "MEMORY USAGE")
    assert facts == RedisFacts(refused=refused, prefix="p")


def test_nothing_is_written_where_it_could_not_be_measured() -> None:
    server = Server(SET=b"OK", DEL=1)
    server.examine()
    assert "SET" not in {request[0] for request in server.asked}


def test_info() -> None:
    facts = Server(INFO=info()).examine()
    assert facts.eviction == "allkeys-lru"
    assert (facts.maxmemory, facts.used, facts.evicted) == (1000, 200, 7)
    assert (facts.role, facts.replicas, facts.aof, facts.save_failed) == ("master", 2, False, "")


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, "AOF"),
        ({"aof_enabled": "0", "aof_last_write_status": "err"}, ""),
        ({"rdb_last_bgsave_status": "err"}, "RDB"),
    ],
)
def test_a_disk_that_fails(changes: dict[str, str], failed: str) -> None:
    assert Server(INFO=info(**changes)).examine().save_failed == failed


def test_settings_stand_in_for_info_that_is_refused() -> None:
    facts = Server(CONFIG_GET=config).examine()
    assert (facts.maxmemory, facts.eviction, facts.used) == (5, None, None)
    assert (facts.aof, facts.fsync, facts.snapshots) == (True, "always", "")
    assert facts.save_failed is None


def test_settings_are_not_asked_for_again_once_refused() -> None:
    server = Server()
    server.examine()
    assert sum(request[0] == "CONFIG" for request in server.asked) == 1


@pytest.mark.parametrize(
    ("keys", "commands"),
    [
        (b"~p:s:* %R~x:*", b"-@all +get"),  # Redis 7
        ([b"p:s:*", b"%R~x:*"], b"-@all +get"),  # Redis 6
    ],
)
def test_the_user_and_what_it_may(keys: Any, commands: Any) -> None:
    selector = [b"commands", b"+@all", b"keys", b"~*", b"channels", b""]
    reply = [
        *(b"flags", [b"on", b"sanitize-payload"], b"passwords", [b"0123abc"]),
        *(b"commands", commands, b"keys", keys, b"channels", b"", b"selectors", [selector]),
    ]
    facts = Server(ACL_WHOAMI=b"app", ACL_GETUSER=reply).examine()
    assert facts.user == RedisUser(
        "app",
        frozenset({"on", "sanitize-payload"}),
        (
            Permissions(("-@all", "+get"), ("~p:s:*", "%R~x:*")),
            Permissions(("+@all",), ("~*",)),
        ),
    )
    assert "0123abc" not in repr(facts)


def test_a_user_who_may_know_its_name_only() -> None:
    facts = Server(ACL_WHOAMI=b"app").examine()
    assert facts.user == RedisUser("app")
    assert "ACL GETUSER" in facts.refused


def scanned(*keys: bytes, cursor: bytes = b"0") -> list[Any]:
    return [cursor, list(keys)]


def test_sessions_are_measured_and_those_that_ended_meanwhile_are_not() -> None:
    sizes = {b"p:s:1": 100, b"p:s:2": None, b"p:s:3": 300}
    server = Server(SCAN=scanned(*sizes), MEMORY_USAGE=lambda request: sizes[request[2]])
    facts = server.examine()
    assert (facts.session_bytes, facts.sampled) == (200 + UNCOUNTED, 2)
    assert ("SCAN", b"0", "MATCH", b"p:s:*", "COUNT", 1000) in server.asked


def test_a_server_full_of_sessions_is_sampled() -> None:
    keys = [b"p:s:%d" % number for number in range(500)]
    server = Server(SCAN=scanned(*keys, cursor=b"9"), MEMORY_USAGE=100)
    assert server.examine().sampled == SAMPLES
    assert sum(request[0] == "SCAN" for request in server.asked) == 1


def test_a_server_full_of_other_keys_is_not_searched_through() -> None:
    server = Server(SCAN=scanned(cursor=b"9"))
    server.examine()
    assert sum(request[0] == "SCAN" for request in server.asked) == SCANS


def test_the_probe_expires_and_is_deleted() -> None:
    stored: list[Any] = []
    server = Server(
        SET=lambda request: stored.append(request) or b"OK",
        MEMORY_USAGE=lambda request: 700 if stored else None,
        DEL=1,
    )
    assert server.examine().session_bytes == 700 + UNCOUNTED
    writes = [request for request in server.asked if request[0] in {"SET", "DEL"}]
    assert writes == [("SET", *PROBE, "NX", "PX", 60_000), ("DEL", PROBE[0])]


@pytest.mark.parametrize("error", [StoreFull("OOM"), StoreUnavailable("READONLY"), REFUSED])
def test_a_server_that_takes_no_probe(error: Exception) -> None:
    facts = Server(INFO=info(), MEMORY_USAGE=lambda request: None, SET=error).examine()
    assert facts.session_bytes is None
    assert facts.role == "master"


@pytest.mark.parametrize("error", [REFUSED, StoreUnavailable("connection refused")])
def test_a_server_without_sessions_is_an_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        Server(GET=error).examine()


def test_a_server_that_goes_away_meanwhile_is_an_error() -> None:
    with pytest.raises(StoreUnavailable):
        Server(INFO=StoreUnavailable("connection lost")).examine()


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("INFO", 5),
        ("HELLO", b"hello"),
        ("ACL_WHOAMI", [b"app"]),
        ("CONFIG_GET", [b"odd"]),
        ("CONFIG_GET", [b"save", 5]),
        ("SCAN", [b"0"]),
        ("SCAN", [7, []]),
        ("SCAN", [b"0", [b"p:s:h", [b"p:s:i"]]]),
        ("HELLO", [[], b"hello"]),
        ("ACL_GETUSER", [b"flags", 5]),
        ("ACL_GETUSER", [b"selectors", 5]),
        ("ACL_GETUSER", [b"selectors", [b"commands"]]),
    ],
)
def test_a_reply_that_is_no_answer_counts_as_none(name: str, answer: Any) -> None:
    facts = Server(**{"ACL_WHOAMI": b"app", name: answer}).examine()
    assert name.replace("_", " ") in facts.refused


def test_a_number_that_is_none() -> None:
    for number in ("many", "9" * 5000):  # more digits than Python reads
        assert Server(INFO=info(maxmemory=number)).examine().maxmemory is None
