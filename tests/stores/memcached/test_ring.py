"""Which server a key is on: as the clients in use place it, and what moves when servers change."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uhashring import HashRing

from sessionstore.core.errors import ConfigurationError
from sessionstore.stores.memcached.ring import Member, Ring, ketama_label
from tests.stores.memcached.placement import SERVERS, Server, keys, libmemcached, recorded
from tests.support.memcached_clients import WITH_PYLIBMC, pymemcache_client

KEYS = keys(4000)
POINTS = 160
"""Of a server of average weight."""
UHASHRING = [
    case
    for case in SERVERS
    # It computes with whole numbers; and of two servers with one point, the later one has it.
    if "float" not in case and "share" not in case
]


def ring_of(servers: Iterable[Server]) -> Ring[int]:
    """A ring whose nodes are the servers' numbers."""
    labels = [(ketama_label(host, port), weight) for host, port, weight in servers]
    return Ring([Member(index, *rest) for index, rest in enumerate(labels)])


def alike(count: int, name: str = "10.0.0") -> list[Server]:
    """Servers of one weight."""
    return [(f"{name}.{number}", 11211, 1) for number in range(count)]


def owners(ring: Ring[int], names: Iterable[str]) -> list[int]:
    return [ring.owner(name.encode()) for name in names]


def deviation(share: float, samples: int, points: int) -> float:
    """The standard deviation of a server's measured share.

    Its points cut the ring at random (a Dirichlet distribution), and keys fall on it at random.
    """
    return math.sqrt(share * (1 - share) * (1 / points + 1 / samples))


@pytest.mark.parametrize("case", SERVERS)
def test_keys_are_where_libmemcached_was_recorded_to_put_them(case: str) -> None:
    expected = recorded(case)
    assert len(expected) == 1000
    assert owners(ring_of(SERVERS[case]), keys(1000)) == expected


@WITH_PYLIBMC
@pytest.mark.parametrize("case", SERVERS)
def test_keys_are_where_libmemcached_puts_them(case: str) -> None:
    servers = SERVERS[case]
    assert owners(ring_of(servers), KEYS) == libmemcached(servers, KEYS)


HOSTS = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,2}|fe80::[0-9a-f]{4}", fullmatch=True)
PORTS = st.one_of(st.just(11211), st.integers(1, 65535))
WEIGHTS = st.integers(1, 40)  # with 40 beside it, a server of weight 1 still owns something
SOME_SERVERS = st.lists(
    st.tuples(HOSTS, PORTS, WEIGHTS), min_size=1, max_size=12, unique_by=lambda it: it[:2]
)


@WITH_PYLIBMC
@given(SOME_SERVERS, st.lists(st.binary(min_size=1, max_size=20).map(bytes.hex), max_size=50))
def test_keys_are_where_libmemcached_puts_them_whatever_the_servers(
    servers: list[Server], names: list[str]
) -> None:
    asked = names + KEYS[:100]
    assert owners(ring_of(servers), asked) == libmemcached(servers, asked)


@pytest.mark.parametrize("case", ["the default port", "other ports", "host names", "IPv6"])
def test_keys_are_where_pymemcache_puts_them(case: str) -> None:
    servers = SERVERS[case]
    client, ring = pymemcache_client(servers), ring_of(servers)
    names = [f"{host}:{port}" for host, port, _ in servers]
    assert [names[owner] for owner in owners(ring, KEYS)] == list(map(client.hasher.get_node, KEYS))
    client.close()


def test_when_pymemcache_takes_a_server_for_dead_its_keys_go_where_the_walk_goes() -> None:
    servers = SERVERS["other ports"]
    client, ring = pymemcache_client(servers), ring_of(servers)
    client.hasher.remove_node("127.0.0.1:11213")
    for key in KEYS:
        alive = next(node for node in ring.walk(key.encode()) if node != 1)
        host, port, _ = servers[alive]
        assert client.hasher.get_node(key) == f"{host}:{port}"
    client.close()


@pytest.mark.parametrize("case", UHASHRING)
def test_keys_are_where_uhashring_puts_them_and_so_is_the_walk(case: str) -> None:
    servers = SERVERS[case]
    labels = [ketama_label(host, port) for host, port, _ in servers]
    theirs = HashRing(
        dict(zip(labels, (weight for *_, weight in servers), strict=True)), hash_fn="ketama"
    )
    ring = ring_of(servers)
    for key in KEYS[:1000]:
        walked = [labels[node] for node in ring.walk(key.encode())]
        assert walked == list(theirs.iterate_nodes(key))
        assert walked[0] == labels[ring.owner(key.encode())]
        assert sorted(walked) == sorted(labels)


@pytest.mark.parametrize("count", range(1, 11))
def test_a_server_more_takes_its_share_and_nothing_else_moves(count: int) -> None:
    """Of 20 rings: 1 key in ``count + 1``, within four standard deviations."""
    rings, names = 20, KEYS[:1000]
    moved = 0
    for number in range(rings):
        servers = alike(count + 1, f"10.{number}.0")
        before, after = ring_of(servers[:-1]), ring_of(servers)
        for old, new in zip(owners(before, names), owners(after, names), strict=True):
            if new != old:
                assert new == count, "a key moved between two servers that were there before"
                moved += 1
    share = 1 / (count + 1)
    samples, points = rings * len(names), rings * POINTS * (count + 1)
    assert abs(moved / samples - share) < 4 * deviation(share, samples, points)


@pytest.mark.parametrize("gone", range(5))
def test_a_server_less_moves_its_own_keys_only_to_the_next_of_the_walk(gone: int) -> None:
    servers = alike(5)
    before = ring_of(servers)
    rest = [index for index in range(5) if index != gone]
    after = Ring([before.members[index] for index in rest])
    for key in map(str.encode, KEYS):
        assert after.owner(key) == next(node for node in before.walk(key) if node != gone)


def test_a_server_of_another_weight_moves_a_few_more_keys_as_in_libmemcached() -> None:
    """The others then have fewer points each, and where one goes the next may be anyone's."""
    weights = [1, 1, 1, 3]
    servers = [(host, port, w) for (host, port, _), w in zip(alike(4), weights, strict=True)]
    before, after = ring_of(servers[:-1]), ring_of(servers)
    pairs = list(zip(owners(before, KEYS), owners(after, KEYS), strict=True))
    elsewhere = sum(new not in (old, 3) for old, new in pairs) / len(pairs)
    assert 0.05 < elsewhere < 0.1


@pytest.mark.parametrize(
    "weights", [[1] * 3, [1] * 10, [1, 2, 5], [10, 10, 1], [3, 1, 4, 1, 5]], ids=str
)
def test_each_server_has_its_share_within_four_standard_deviations(weights: list[int]) -> None:
    servers = [
        (host, port, weight)
        for (host, port, _), weight in zip(alike(len(weights)), weights, strict=True)
    ]
    found = Counter(owners(ring_of(servers), KEYS))
    for node, weight in enumerate(weights):
        share = weight / sum(weights)
        spread = deviation(share, len(KEYS), POINTS * len(weights))
        assert abs(found[node] / len(KEYS) - share) < 4 * spread


def test_the_order_of_the_servers_means_nothing() -> None:
    ring = ring_of(SERVERS["weights"])
    other = Ring(ring.members[::-1])
    assert owners(ring, KEYS) == owners(other, KEYS)


def test_but_where_two_have_one_point_the_earlier_has_it() -> None:
    case = SERVERS["a point that two servers share"]
    pairs = zip(owners(ring_of(case), KEYS), owners(ring_of(case[::-1]), KEYS), strict=True)
    assert {pair for pair in pairs if pair[0] == pair[1]} == {(0, 0)}


def member(**changes: Any) -> Member[str]:
    return Member(**{"node": "n", "label": "10.0.0.1", "weight": 1, **changes})


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "at least one server"),
        ([member(), member(node="m")], r"server 10\.0\.0\.1 is named twice"),
        ([member(weight=0)], "weight 0 of 10"),
        ([member(weight=-1)], "weight -1 of"),
        ([member(weight=1 << 32)], "weight 4294967296 of"),
        ([member(weight=1.5)], r"weight 1\.5 of"),
        ([member(weight=True)], "weight True of"),
        ([member(), member(label="b", weight=100)], r"weight 1 of 10\.0\.0\.1 is too small .* 101"),
    ],
)
def test_members_that_make_no_ring(members: list[Member[str]], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Ring(members)


def test_one_server_has_every_key() -> None:
    ring = Ring([member()])
    assert {ring.owner(key.encode()) for key in KEYS[:100]} == {"n"}
    assert list(ring.walk(b"any")) == ["n"]
