"""``ping`` and ``doctor`` where there is more than one server."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from sessionstore.cli.app import cli
from sessionstore.cli.diagnosis import Finding, Severity
from sessionstore.cli.doctor import together
from sessionstore.stores.base import DEFAULT_PREFIX
from sessionstore.stores.memcached.notes import Note, State, pack
from sessionstore.stores.memcached.notes import Run as Content
from tests.support.configuration_endpoint import DiscoveredCluster, run_discovered_cluster
from tests.support.memcached_servers import MemcachedServer, run_memcached_ring
from tests.support.redis_topologies import RedisCluster, SentinelGroup, run_cluster, run_sentinel

pytestmark = pytest.mark.once

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(cli, list(arguments))


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with run_cluster(3) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def group() -> Iterator[SentinelGroup]:
    with run_sentinel() as group:
        yield group


@pytest.fixture(scope="module")
def discovered() -> Iterator[DiscoveredCluster]:
    with run_discovered_cluster(2) as cluster:
        yield cluster


def findings(result: Result) -> dict[str, list[str]]:
    """Of a doctor's JSON: what was said, by its id."""
    found: dict[str, list[str]] = {}
    for finding in json.loads(result.stdout)["findings"]:
        found.setdefault(finding["id"], []).append(finding["what"])
    return found


def test_what_is_true_of_all_is_said_once() -> None:
    same, other = (Finding("x", Severity.NOTE, what) for what in ("same", "other"))
    assert together({"a:1": [same], "b:1": [same]}) == [same]
    assert together({"a:1": [same]}) == [same]
    assert together({"a:1": [same], "b:1": [same, other], "c:1": [other]}) == [
        Finding("x", Severity.NOTE, "a:1, b:1: same"),
        Finding("x", Severity.NOTE, "b:1, c:1: other"),
    ]


def test_the_doctor_looks_at_every_primary_of_a_cluster(cluster: RedisCluster, run: Run) -> None:
    odd = cluster.primaries[1]
    with cluster.client(odd) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "100mb")
        found = findings(run("doctor", "--json", f"{cluster.url}?timeout=5"))
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")
    name = f"127.0.0.1:{odd.port}: "
    assert any(
        what.startswith(f"{name}maxmemory-policy is allkeys-lru") for what in found["eviction"]
    )
    assert any(what.startswith(name) and "room for" in what for what in found["memory"])
    assert len(found["replicas"]) == 1, "none of them has one, which is said once"


def test_ping_names_all_servers(cluster: RedisCluster, run: Run) -> None:
    result = run("ping", f"{cluster.url}?timeout=5")
    assert result.exit_code == 0
    for node in cluster.nodes:
        assert f"127.0.0.1:{node.port}" in result.stdout
    document = json.loads(run("ping", "--json", f"{cluster.url}?timeout=5").stdout)
    assert {node["role"] for node in document["nodes"]} == {"primary"}
    assert len(document["nodes"]) == 3


def test_a_sentinel_that_hangs_is_found(group: SentinelGroup, run: Run) -> None:
    url = f"{group.url}?timeout=5"
    assert "unwell" not in findings(run("doctor", "--json", url))
    group.freeze(group.sentinels[0])
    try:
        found = findings(run("doctor", "--json", url))
        assert run("ping", url).exit_code == 0, "sessions do not need it"
    finally:
        group.thaw(group.sentinels[0])
    (what,) = found["unwell"]
    assert what.startswith(f"The sentinel 127.0.0.1:{group.sentinels[0].port} is of no use now")


def test_ping_says_if_no_replica_confirms(group: SentinelGroup, run: Run) -> None:
    assert run("ping", f"{group.url}?timeout=5&durable=1").exit_code == 0
    result = run("ping", f"redis://127.0.0.1:{group.primary.port}?timeout=1&durable=1")
    assert result.exit_code == 0
    for replica in group.replicas:
        result = run("ping", f"redis://127.0.0.1:{replica.port}?timeout=1")
        assert result.exit_code == 1


def test_ping_where_logouts_cannot_be_confirmed(cluster: RedisCluster, run: Run) -> None:
    result = run("ping", f"{cluster.url}?timeout=1&durable=1")
    assert result.exit_code == 1
    assert "delete failed. The store did it, but on fewer servers" in result.stderr


def test_ping_names_the_servers_that_were_discovered_and_the_endpoint(
    discovered: DiscoveredCluster, run: Run
) -> None:
    document = json.loads(run("ping", "--json", f"{discovered.url}&timeout=5").stdout)
    assert document["ok"]
    assert document["server"].startswith("memcached 1.")
    named = {(node["role"], node["node"]) for node in document["nodes"]}
    assert named == {
        ("configuration endpoint", f"127.0.0.1:{discovered.endpoint.port}"),
        *(("primary", server.url.partition("://")[2]) for server in discovered.servers),
    }


def test_the_doctor_looks_at_every_server_that_was_discovered(
    discovered: DiscoveredCluster, run: Run
) -> None:
    gone = "127.0.0.1||1"
    discovered.endpoint.name(*discovered.servers, gone)
    found = findings(run("doctor", "--json", f"{discovered.url}&timeout=0.5"))
    assert len(found["persistence"]) == 1, "said once of the two that answer"
    assert found["persistence"][0].startswith("127.0.0.1:")
    (what,) = found["unusable"]
    assert what.startswith("127.0.0.1:1: ")
    discovered.endpoint.name(*discovered.servers)


@pytest.mark.parametrize("scheme", ["redis+cluster", "memcached+discover"])
def test_nobody_says_which_servers_there_are(run: Run, scheme: str) -> None:
    found = findings(run("doctor", "--json", f"{scheme}://no-such-host.invalid?timeout=0.5"))
    (what,) = found["unusable"]
    assert what.startswith("The store cannot be reached")


def say(server: MemcachedServer, words: bytes) -> str:
    """To memcached on a TCP port, past everything that is tested."""
    assert isinstance(server.address, tuple)
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(words + b"\r\nquit\r\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_a_memcached_server_that_is_kept_out(run: Run) -> None:
    """A command that has just begun knows it: the others have noted it."""
    with run_memcached_ring(2) as ring:
        url = f"{ring.url}?failover=next&timeout=5"
        assert "kept-out" not in findings(run("doctor", "--json", url))
        stats = dict(line.split()[1:3] for line in say(ring.servers[0], b"stats").splitlines()[:-1])
        name = ring.servers[0].url.removeprefix("memcached://")
        content = Content(int(stats["time"]) - int(stats["uptime"]))
        notes = pack({name: Note(content, 0, State.OUT, content.started)})
        words = b"set %b:servers 0 0 %d\r\n%b" % (DEFAULT_PREFIX.encode(), len(notes), notes)
        assert say(ring.servers[1], words) == "STORED\r\n"
        found = findings(run("doctor", "--json", url))
        (what,) = found["kept-out"]
        assert what.startswith(f"{name} answers and is not used")
        assert "unusable" not in found
        assert run("doctor", url).exit_code == 1
        result = run("ping", url)
        assert result.exit_code == 0, "sessions do not need it"
        assert "it is kept out" in result.stdout
        document = json.loads(run("ping", "--json", url).stdout)
        assert [bool(node["error"]) for node in document["nodes"]] == [True, False]
        say(ring.servers[0], b"flush_all")
        assert "kept-out" not in findings(run("doctor", "--json", url))
