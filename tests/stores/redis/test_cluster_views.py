"""Clusters that answer strangely, or not at all: scripted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sessionstore.core.errors import StoreError, StoreRefused, StoreUnavailable
from sessionstore.core.verbs import Entry
from sessionstore.stores.attempts import Failure
from sessionstore.stores.base import Store
from sessionstore.stores.redis.cluster import ranges_from
from sessionstore.stores.redis.failures import ReplyError, redirect_in
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.stores.users import Users
from tests.support.scripted_redis import ScriptedRedis
from tests.support.scripted_topology import Saying, eventually, resp

TIMEOUT = 0.6
ENTRY = Entry(value(1), value(1)[1:13])
GOOD = b"$13\r\n%b\r\n" % value(1)


class Member(Saying):
    """A node; ``knows`` lists the nodes that share the slots, as it sees them."""

    def __init__(self, host: object = "127.0.0.1", **says: bytes) -> None:
        self.host = host
        self.knows: list[Saying] = [self]
        super().__init__(**{"GET": GOOD, "SET": b"+OK\r\n", "ASKING": b"+OK\r\n", **says})
        say = self.answer
        self.answer = lambda command: self._slots() if command[0] == b"CLUSTER" else say(command)

    def _slots(self) -> bytes:
        size = 16384 // len(self.knows)
        return resp(
            [
                [place * size, place * size + size - 1, [self.host, node.port, "id", []]]
                for place, node in enumerate(self.knows)
            ]
        )

    def sends_to(self, kind: str, host: str, other: Saying) -> None:
        """Answer every GET with a redirect."""
        self.says["GET"] = f"-{kind} 7629 {host}:{other.port}\r\n".encode()


@pytest.fixture
def one() -> Iterator[Member]:
    with Member() as server:
        yield server


@pytest.fixture
def two() -> Iterator[Member]:
    with Member() as server:
        yield server


def store_of(*seeds: ScriptedRedis | str, timeout: float = TIMEOUT) -> Store:
    hosts = [each if isinstance(each, str) else f"127.0.0.1:{each.port}" for each in seeds]
    return open_store(f"redis+cluster://{','.join(hosts)}", timeout=timeout)


def load(store: Store, how: str, seconds: float = 10) -> Entry | None:
    return carry(store, how, store.load(b"k"), seconds)


@BOTH
@pytest.mark.parametrize("host", ["127.0.0.1", "", "?"])
@pytest.mark.parametrize("kind", ["MOVED", "ASK"])
def test_a_redirect(one: Member, two: Member, how: str, kind: str, host: str) -> None:
    """Without a host, it is the one that was asked."""
    one.sends_to(kind, host, two)
    store = store_of(one)
    assert load(store, how) == ENTRY
    assert (two.count("GET"), two.count("ASKING")) == (1, kind == "ASK")
    store.close()


@BOTH
@pytest.mark.parametrize("host", [None, "", "?", "127.0.0.1"])
def test_hosts_that_the_cluster_does_not_name(one: Member, how: str, host: object) -> None:
    one.host = host
    store = store_of(one)
    assert load(store, how) == ENTRY
    store.close()


def test_a_host_without_a_name_has_an_address() -> None:
    """Redis 7: "?" is a node whose host name is not known (yet); what is, stands behind it."""
    more = [b"ip", b"10.0.0.7"]
    reply = [[0, 16383, [b"?", 6379, b"id", more], [b"", 6380, b"id", more], [b"?", 1, b"id", []]]]
    assert ranges_from(reply, "asked", "asked:1") == [
        (0, 16383, ("10.0.0.7", 6379), (("asked", 6380), ("asked", 1)))
    ]


@pytest.mark.parametrize(
    "reply",
    [
        5,
        [5],
        [[0, 1, 5]],
        [[0, 1, [b"h", b"port"]]],
        [[0, 1, [b"h", float("inf")]]],  # RESP3 has them, and hiredis reads it unasked
        [[0, 1, {b"h": 6379}]],
        [[0, 1, [b"?", 6379, b"id", {b"ip": b"h"}]]],
    ],
)
def test_slots_that_are_none(reply: Any) -> None:
    with pytest.raises(Failure, match="unexpected reply to CLUSTER SLOTS"):
        ranges_from(reply, "asked", "asked:1")


def test_hosts_in_redirects() -> None:
    for host, expected in (("?", ""), ("", ""), ("::1", "::1"), ("[::1]", "::1"), ("a.b", "a.b")):
        redirect = redirect_in(ReplyError(f"MOVED 1 {host}:6379"))
        assert redirect is not None
        assert redirect.host == expected


@BOTH
@pytest.mark.parametrize("kind", ["MOVED", "ASK"])
def test_redirects_in_circles(one: Member, two: Member, how: str, kind: str) -> None:
    one.sends_to(kind, "", two)
    two.sends_to(kind, "", one)
    store = store_of(one)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="circles"):
        load(store, how, TIMEOUT)
    # A few at a time, with a pause before each few that grows.
    assert one.count("GET") + two.count("GET") < 300
    one.says["GET"] = GOOD
    assert load(store, how) == ENTRY
    store.close()


@BOTH
@pytest.mark.parametrize(
    "redirect",
    [
        "MOVED 16384 127.0.0.1:6379",
        "MOVED x 127.0.0.1:6379",
        "MOVED 1",
        "MOVED 1 127.0.0.1:99999",
        "MOVED 1 127.0.0.1:0",
        "ASK 1 no-such-host.invalid:6379",
        "ASK 1 a\x00b:6379",
    ],
)
def test_redirects_to_nowhere(one: Member, how: str, redirect: str) -> None:
    one.says["GET"] = f"-{redirect}\r\n".encode()
    store = store_of(one)
    with Stopwatch(TIMEOUT), pytest.raises(StoreError):
        load(store, how, TIMEOUT)
    one.says["GET"] = GOOD
    eventually(lambda: works(store, how))
    store.close()


def works(store: Store, how: str) -> bool:
    try:
        return load(store, how, TIMEOUT) == ENTRY
    except StoreUnavailable:
        return False


@BOTH
@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b":1\r\n",
        b"*-1\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n*2\r\n:0\r\n:5\r\n",
        b"*1\r\n*3\r\n:0\r\n:5\r\n*0\r\n",
        b"*1\r\n*3\r\n:0\r\n$1\r\nx\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        b"*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n:7\r\n:1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"-NOPERM this user has no permissions to run the 'cluster|slots' command\r\n",
        b"-ERR This instance has cluster support disabled\r\n",
    ],
)
def test_nonsense_is_an_error_that_an_operator_sees(reply: bytes, how: str) -> None:
    with ScriptedRedis(reply) as server:
        store = store_of(server)
        with Stopwatch(TIMEOUT), pytest.raises(StoreRefused):
            load(store, how, TIMEOUT)
        store.close()


@BOTH
def test_a_cluster_that_is_not_ready_yet(one: Member, how: str) -> None:
    one.knows = []
    one.answer, answer = lambda command: b"*0\r\n", one.answer
    store = store_of(one)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable):
        load(store, how, TIMEOUT)
    one.answer, one.knows = answer, [one]
    eventually(lambda: works(store, how))
    one.says["GET"] = b"-CLUSTERDOWN The cluster is down\r\n"
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="CLUSTERDOWN"):
        load(store, how, TIMEOUT)
    one.says["GET"] = GOOD
    assert load(store, how) == ENTRY
    store.close()


@BOTH
def test_a_seed_that_hangs(one: Member, how: str) -> None:
    """Two of three: there is time left for the one that answers."""
    with ScriptedRedis(b"") as hung:
        store = store_of(hung, hung, "127.0.0.1:1", one)
        with Stopwatch(TIMEOUT):
            assert load(store, how, TIMEOUT) == ENTRY
        store.close()


@BOTH
def test_slots_that_nobody_has(one: Member, how: str) -> None:
    one.knows = [one, one, one]
    one.answer, answer = (
        (
            lambda command: (
                resp([[0, 5, ["", one.port, "id"]]])
                if command[0] == b"CLUSTER"
                else answer(command)
            )
        ),
        one.answer,
    )
    store = store_of(one)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="has the slot"):
        load(store, how, TIMEOUT)
    store.close()


@BOTH
@pytest.mark.parametrize("kind", ["MOVED", "ASK"])
def test_a_node_that_the_others_do_not_know_yet(
    one: Member, two: Member, how: str, kind: str
) -> None:
    """It has just got its first slot, or gets it now: nothing that it is doing may be cut off."""
    one.sends_to(kind, "", two)
    two.says["GET"] = b""
    two.knows = one.knows
    store = store_of(one, timeout=20)
    users = Users(store, how)
    read = users(store.load(b"k"))
    two.wait_for("GET")
    # Whatever the reason, the slots are asked for again, of a node that knows of no change.
    asked = one.count("CLUSTER") + two.count("CLUSTER")
    one.says["SET"] = b"-CLUSTERDOWN The cluster is down\r\n"
    write = users(store.create(b"other", value(1), 60))
    eventually(lambda: one.count("CLUSTER") + two.count("CLUSTER") > asked + 1)
    one.says["SET"] = b"+OK\r\n"
    assert write.result(20) == ENTRY.version
    assert (two.open, two.count("GET")) == (1, 1)
    two.says["GET"] = GOOD
    two.say(GOOD)
    assert read.result(20) == ENTRY
    users.close()
    store.close()
