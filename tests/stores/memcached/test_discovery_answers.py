"""What a configuration endpoint may answer, at the start and later: honest, odd, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionstore.core.errors import StoreError, StoreRefused, StoreUnavailable
from sessionstore.core.verbs import Entry
from sessionstore.stores.base import NodeHealth
from sessionstore.stores.memcached import MemcachedStore
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.messages import LARGEST_CONFIGURATION
from sessionstore.stores.memcached.nodelist import MOST_NODES, Cluster, Place, cluster_from
from sessionstore.stores.memcached.topology import Node, ring_of
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.stores.memcached.conftest import PROTOCOLS, memcached
from tests.support.configuration_endpoint import HONEST, ConfigurationEndpoint
from tests.support.memcached_servers import MemcachedServer
from tests.support.scripted_topology import eventually

TIMEOUT = 0.3


# -- the payload --


@pytest.mark.parametrize(
    ("payload", "cluster"),
    [
        (b"1\nh|10.0.0.1|11211\n", Cluster(1, (Place("h", "10.0.0.1", 11211),))),
        (b"1\nh|10.0.0.1|11211", Cluster(1, (Place("h", "10.0.0.1", 11211),))),
        (b"1\r\nh||11211\n\r\n", Cluster(1, (Place("h", "", 11211),))),
        (b"0\n|10.0.0.1|1 \n", Cluster(0, (Place("10.0.0.1", "10.0.0.1", 1),))),
        (
            b"12\na.b.|::1|11211  a-b|fe80::A|65535 h|1.1.1.1|1\n",
            Cluster(
                12,
                (
                    Place("a.b.", "::1", 11211),
                    Place("a-b", "fe80::a", 65535),
                    Place("h", "1.1.1.1", 1),
                ),
            ),
        ),
        (b"3\n::1||5 h|1.2.3.4|5\n", Cluster(3, (Place("::1", "", 5), Place("h", "1.2.3.4", 5)))),
        (b"3\n\n", Cluster(3, ())),
        (b"3\n", Cluster(3, ())),
    ],
)
def test_lists_of_servers(payload: bytes, cluster: Cluster) -> None:
    assert cluster_from(payload) == cluster


BAD = [
    b"",
    b"1",
    b"\nh|10.0.0.1|11211\n",
    b"x\nh|10.0.0.1|11211\n",
    b"-1\nh|10.0.0.1|11211\n",
    b"1 \nh|10.0.0.1|11211\n",
    b"12345678901234567890\nh|10.0.0.1|11211\n",
    b"1\nh|10.0.0.1\n",
    b"1\nh|10.0.0.1|11211|x\n",
    b"1\nh:11211\n",
    b"1\n||11211\n",
    b"1\nh||\n",
    b"1\nh||0\n",
    b"1\nh||65536\n",
    b"1\nh||11211x\n",
    b"1\nh||-1\n",
    b"1\nh||+1\n",
    b"1\nh|10.0.0|1\n",
    b"1\nh|10.0.0.1.|1\n",
    b"1\nh|i|1\n",
    b"1\nh|fe80::1%eth0|1\n",
    b"1\n:::||1\n",
    b"1\na..b||1\n",
    b"1\n.b||1\n",
    b"1\na\x00b||1\n",
    b"1\na\tb||1\n",
    b"1\n%b||1\n" % (b"a" * 64),
    b"1\n%b||1\n" % (b"a." * 127 + b"a"),
    b"1\nh\xc3\xa4||1\n",
    b"1\nh||1\nh2||1\n",
    # One good and one bad: not the good one alone.
    b"1\nh||11211 i||x\n",
    b"1\nh||11211 i\n",
    # Twice, or by one name on the ring.
    b"1\nh||11211 h||11211\n",
    b"1\nh||11211 H|10.0.0.1|11211\n",
    b"1\n1::2||5 1::2:5||11211\n",
    b"1\n" + b" ".join(b"h%d||1" % n for n in range(MOST_NODES + 1)) + b"\n",
    b"1\nh||1" + b" " * LARGEST_CONFIGURATION,
]


@pytest.mark.parametrize("payload", BAD)
def test_what_is_no_list_of_servers(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*invalid literal)") as caught:
        cluster_from(payload)
    assert "10.0.0" not in str(caught.value), "it does not quote the server"


@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(
            st.sampled_from(["1", "\n", "h", "i", "|", "11211", " ", ":", ".", "10.0.0.1"])
        ).map(lambda parts: "".join(parts).encode()),
    )
)
@example(b"1\nh||1 i||2")
def test_any_payload_makes_a_whole_ring_or_none(payload: bytes) -> None:
    try:
        cluster = cluster_from(payload)
    except ValueError:
        return
    assert payload.count(b"|") == 2 * len(cluster.places)
    if cluster.places:
        nodes = [Node(Endpoint(place.host, place.port), 1) for place in cluster.places]
        assert len(ring_of(nodes).members) == len(cluster.places)


# -- at the start --


@pytest.fixture
def endpoint(memcached_tcp_server: MemcachedServer) -> Iterator[ConfigurationEndpoint]:
    with ConfigurationEndpoint() as endpoint:
        endpoint.name(memcached_tcp_server)
        yield endpoint


def opened(endpoint: ConfigurationEndpoint, prefix: str, **options: float) -> MemcachedStore:
    url = endpoint.discover_url()
    return memcached(url, prefix=prefix, **{"timeout": TIMEOUT, "poll": 0.02, **options})


GARBAGE = [
    b"ERROR\r\n",
    b"END\r\n",
    b"CLIENT_ERROR bad command line format\r\n",
    b"SERVER_ERROR out of memory\r\n",
    b"HTTP/1.1 400 Bad Request\r\n",
    b"VERSION 1.6.18\r\n",
    b"VA 3\r\nabc\r\n",
    b"STAT a b\r\nEND\r\n",
    b"CONFIG\r\n",
    b"CONFIG cluster 0 x\r\n",
    b"CONFIG other 0 3\r\nabc\r\nEND\r\n",
    b"CONFIG cluster 0 99999999\r\n",
    b"CONFIG cluster 0 3\r\nabcd\r\nEND\r\n",
    b"CONFIG cluster 0 3\r\nabc\r\nENDS\r\n",
    b"CONFIG cluster 0 3\r\nabc\r\nEND\r\n",
    b"CONFIG cluster 0 9\r\n1\nh|i|x\n\n\r\nEND\r\n",
    b"CONFIG cluster 0 9\r\n1\nh||1\n\n\n\r\nEND\r\nmore",
]
NOTHING = [None, b"", b"CONFIG cluster 0 147\r\n1\nh||11211"]
NOBODY = b"CONFIG cluster 0 3\r\n1\n\n\r\nEND\r\n"


@pytest.mark.once  # it waits, and what for is alike on every Python
@BOTH
@pytest.mark.parametrize("says", [*GARBAGE[:5], *GARBAGE[-3:], NOBODY, *NOTHING])
def test_the_first_answer_is_waited_for_until_the_deadline(
    endpoint: ConfigurationEndpoint,
    prefix: str,
    how: str,
    says: bytes | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hasten(monkeypatch, says)
    endpoint.says = says
    store = opened(endpoint, prefix)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable if says in NOTHING else StoreError):
        carry(store, how, store.load(store.key("h")))
    assert store.health()[0].role == "configuration endpoint"
    endpoint.says = HONEST
    eventually(lambda: works(store, how))
    assert [node.error for node in store.health()] == [None, None]
    store.close()


@pytest.mark.parametrize("says", GARBAGE)
def test_garbage_is_an_error_that_an_operator_sees(
    endpoint: ConfigurationEndpoint, prefix: str, says: bytes
) -> None:
    endpoint.says = says
    store = opened(endpoint, prefix, timeout=10)
    transient = says.startswith((b"END", b"SERVER_ERROR"))
    with pytest.raises(StoreUnavailable if transient else StoreRefused):
        carry(store, "sync", store.load(store.key("h")), 0.2 if transient else 10)
    store.close()


@BOTH
def test_nobody_is_there_and_then_somebody_is(
    memcached_tcp_server: MemcachedServer, prefix: str, how: str
) -> None:
    with ConfigurationEndpoint() as gone:
        pass
    store = opened(gone, prefix)
    with Stopwatch(TIMEOUT), pytest.raises(StoreUnavailable, match="cannot connect"):
        carry(store, how, store.load(store.key("h")))
    with ConfigurationEndpoint(port=gone.port) as endpoint:
        endpoint.name(memcached_tcp_server)
        eventually(lambda: works(store, how))
    store.close()


def works(store: MemcachedStore, how: str) -> bool:
    try:
        return carry(store, how, store.load(store.key("h"))) is None
    except StoreError:
        return False


def hasten(monkeypatch: pytest.MonkeyPatch, says: object) -> None:
    """Where nothing comes, do not wait for it as long as in earnest."""
    if says in NOTHING[1:]:
        module = "sessionstore.stores.memcached.discovery"
        monkeypatch.setattr(f"{module}.LEARNING_SECONDS", 0.3)


@BOTH
def test_a_server_that_is_no_configuration_endpoint(
    memcached_tcp_server: MemcachedServer, prefix: str, how: str
) -> None:
    url = memcached_tcp_server.url.replace("memcached", "memcached+discover")
    refused(url, prefix, how, "no configuration endpoint")
    # In the binary protocol, memcached keeps its refusal to itself until something else comes.
    store = memcached(f"{url}?protocol=binary", prefix=prefix, timeout=TIMEOUT)
    with pytest.raises(StoreUnavailable):
        carry(store, how, store.load(store.key("h")))
    store.close()


@BOTH
@pytest.mark.parametrize("server", ["memcached_tls_server", "memcached_sasl_tls_server"])
def test_an_endpoint_that_asks_for_a_password(
    request: pytest.FixtureRequest, prefix: str, how: str, server: str
) -> None:
    url = request.getfixturevalue(server).url.replace("memcacheds", "memcacheds+discover")
    if server == "memcached_tls_server":
        refused(url, prefix, how, "no configuration endpoint")
    refused(url.replace("://app:", "://app:x"), prefix, how, "password refused")


def refused(url: str, prefix: str, how: str, why: str) -> None:
    store = memcached(url, prefix=prefix, timeout=10)
    with pytest.raises(StoreRefused, match=why):
        carry(store, how, store.load(store.key("h")))
    store.close()


# -- later --


OLDER = "older"
OTHERS_BY_THE_SAME_VERSION = "others by the same version"


@pytest.mark.once
@pytest.mark.parametrize(
    "says", [*GARBAGE[:1], *GARBAGE[-3:-1], NOBODY, *NOTHING, OLDER, OTHERS_BY_THE_SAME_VERSION]
)
def test_later_it_may_say_what_it_likes(
    endpoint: ConfigurationEndpoint,
    memcached_tcp_server: MemcachedServer,
    prefix: str,
    says: bytes | str | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing happens to anybody; it is logged once, and can be seen."""
    hasten(monkeypatch, says)
    endpoint.name(memcached_tcp_server, version=7)
    store = opened(endpoint, prefix, timeout=10)
    key = store.key("h")
    version = carry(store, "sync", store.create(key, value(1), 60))
    nodes = store._topology.nodes()
    if isinstance(says, str):
        endpoint.name("127.0.0.1||1", version=6 if says is OLDER else 7)
    else:
        endpoint.says = says
    eventually(lambda: state(store).error is not None)
    for how in ("sync", "async"):
        assert carry(store, how, store.load(key)) == Entry(value(1), version)
    assert store._topology.nodes() == nodes
    endpoint.heard()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "the servers known so far are used" in caplog.text
    endpoint.says = HONEST
    endpoint.name(memcached_tcp_server, "127.0.0.1||1", version=8)
    eventually(lambda: len(store._topology.nodes()) == 2)
    assert state(store).error is None
    store.close()


def state(store: MemcachedStore) -> NodeHealth:
    """The endpoint's."""
    return next(node for node in store.health() if node.role == "configuration endpoint")


def test_a_dead_endpoint_is_known_to_be_dead(
    memcached_tcp_server: MemcachedServer, prefix: str
) -> None:
    with ConfigurationEndpoint() as endpoint:
        endpoint.name(memcached_tcp_server)
        store = opened(endpoint, prefix, timeout=0.1)
        carry(store, "sync", store.load(store.key("h")), 10)
    eventually(lambda: not state(store).available)
    assert (state(store).answered, state(store).error) == (
        True,
        "cannot connect: Connection refused",
    )
    assert carry(store, "sync", store.load(store.key("h")), 10) is None
    store.close()


@PROTOCOLS
def test_nothing_but_the_question_is_asked_of_an_endpoint(
    memcached_tcp_server: MemcachedServer, prefix: str, protocol: str
) -> None:
    """It may be a proxy that knows nothing else."""
    with ConfigurationEndpoint(protocol) as endpoint:
        endpoint.name(memcached_tcp_server)
        store = opened(endpoint, prefix, timeout=10, poll=3600)
        carry(store, "sync", store.load(store.key("h")))
        store.close()
    if protocol == "meta":
        assert endpoint.said == b"config get cluster\r\n"
    assert [asked.name for asked in endpoint.requests] == ["config"]
