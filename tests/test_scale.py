"""``python -m benchmarks.scale``, against closed forms, small exact runs and real servers.

The draws are of fixed seeds, so that nothing here fails by chance.
"""

from __future__ import annotations

import json
import random
import socket
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.counters import memcached_stats
from benchmarks.scale import balance, sizing, storm
from benchmarks.scale.__main__ import SESSIONS, main
from benchmarks.scale.answers import Answers
from benchmarks.scale.chance import binomial, multinomial
from benchmarks.scale.losing import at_risk, ring_loss
from benchmarks.scale.measured import COMMITTED, Measured
from benchmarks.scale.memory import (
    KEY_BYTES,
    PAGE,
    memcached_item,
    memcached_memory,
    redis_usage,
    slab_classes,
)
from benchmarks.scale.page import renew, sections
from benchmarks.scale.plan import DAY, GIB, Demand, Plan
from benchmarks.scale.queueing import mean_wait, waits
from benchmarks.scale.restarting import reconnecting
from benchmarks.scale.touching import simulate, users
from sessionstore.stores.memcached.ring import Member, Ring, ketama_label
from tests.support.memcached_servers import run_memcached_tcp
from tests.support.servers import run_redis

pytestmark = pytest.mark.once

PAGE_OF_DOCS = Path(__file__).resolve().parents[1] / "docs" / "scale.md"


def chi_square(counts: list[int], weights: list[int]) -> float:
    """How far the counts are from the weights' shares; on average one less than there are."""
    share = sum(counts) / sum(weights)
    return sum(
        (count - weight * share) ** 2 / (weight * share)
        for count, weight in zip(counts, weights, strict=True)
    )


# -- draws --


@pytest.mark.parametrize(("count", "chance"), [(15, 0.3), (500, 0.02), (10**9, 0.25)])
def test_a_binomial_draw_has_its_mean_and_its_spread(count: int, chance: float) -> None:
    rng = random.Random(1)
    draws = [binomial(rng, count, chance) for _ in range(1500)]
    spread = (count * chance * (1 - chance)) ** 0.5
    assert abs(statistics.mean(draws) - count * chance) < 4 * spread / len(draws) ** 0.5
    assert 0.92 < statistics.stdev(draws) / spread < 1.08


def test_a_multinomial_draw_leaves_nobody_out() -> None:
    found = multinomial(random.Random(1), 10**9, [1, 2, 1])
    assert sum(found) == 10**9
    assert chi_square(found, [1, 2, 1]) < 10


# -- balance --


def test_slots_lie_as_redis_cli_lays_them() -> None:
    assert balance.slots_of_shards(3) == [5461, 5462, 5461]
    for shards in (1, 7, 1000):
        sizes = balance.slots_of_shards(shards)
        assert sum(sizes) == 16384 and max(sizes) - min(sizes) <= 1


def test_a_draw_is_as_even_as_a_million_sessions_placed_one_by_one() -> None:
    shards, sessions = 16, 10**6
    slots = balance.slots_of_shards(shards)
    exact = balance.placed_one_by_one(random.Random(1), sessions, shards)
    assert sum(exact) == sessions
    drawn = [balance.placed(random.Random(seed), sessions, shards) for seed in range(40)]
    # Chi-square with 15 degrees of freedom: 4.6 and 32.8 are passed once in 200 times each.
    assert 4.6 < chi_square(exact, slots) < 32.8
    assert 12 < statistics.mean(chi_square(one, slots) for one in drawn) < 18
    skews = [balance.skew(one) for one in drawn]
    assert min(skews) <= balance.skew(exact) <= max(skews)


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.0])
def test_bands_of_ranks_are_as_skewed_as_each_session_by_itself(
    exponent: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions, shards = 6000, 16

    def middle() -> float:
        return statistics.median(
            balance.zipf(random.Random(seed), sessions, shards, exponent).skew for seed in range(15)
        )

    monkeypatch.setattr(balance, "HEAD", sessions)
    exact = middle()
    monkeypatch.setattr(balance, "HEAD", 300)
    assert abs(middle() - exact) < 0.25 * (exact - 1)


@pytest.mark.parametrize("exponent", [0.6, 1.0])
def test_the_most_active_sessions_share_is_that_of_the_sum(exponent: float) -> None:
    sessions = 100_000
    found = balance.zipf(random.Random(1), sessions, 3, exponent)
    exact = 1 / sum(rank**-exponent for rank in range(1, sessions + 1))
    assert found.hottest == pytest.approx(exact, rel=1e-4)
    assert sum(found.shares) == pytest.approx(1)


def test_a_lost_servers_keys_go_where_they_would_be_without_it() -> None:
    servers, seed = 5, 3
    found = ring_loss(servers, seed)
    rng = random.Random(f"ring {seed}")
    ring = balance.ring_of(servers)
    loads = balance.on_the_ring(rng, ring, 20_000)
    lost = loads.index(max(loads))
    assert found.largest == max(loads) / 20_000
    hosts = {number: ketama_label(f"10.0.0.{number}", 11211) for number in range(servers)}
    left = Ring([Member(number, host) for number, host in hosts.items() if number != lost])
    grown = dict.fromkeys(range(servers), 0)
    for key in balance.keys(rng, 20_000):
        if ring.owner(key) == lost:
            grown[left.owner(key)] += 1
    assert found.next_most == max(grown[number] / loads[number] for number in grown)
    # Spread over all that are left, and not doubled at one.
    assert sum(count > 0 for count in grown.values()) == servers - 1
    assert found.next_most < 0.6


# -- memory --


def test_rediss_memory_is_as_it_was_measured() -> None:
    for title, sizes in json.loads(COMMITTED.read_text())["sizes"].items():
        for found in sizes.values():
            assert redis_usage(found["value"]) == found["memory"], title


def test_rediss_memory_is_what_a_server_says() -> None:
    with run_redis() as server, server.client() as client:
        if not str(client.info("server")["redis_version"]).startswith("7.0."):
            pytest.skip("the arithmetic is that of Redis 7.0")
        for value in (100, 251, 252, 253, 598, 634, 635, 1018, 3331, 20_000):
            client.set(b"k" * KEY_BYTES, b"v" * value, px=60_000)
            assert client.memory_usage(b"k" * KEY_BYTES) == redis_usage(value), value


def test_memcacheds_memory_is_what_a_server_says() -> None:
    with run_memcached_tcp() as server:
        assert isinstance(server.address, tuple)
        port = server.address[1]
        seen, stored = set(), (100, 269, 515, 516, 598, 667, 668, 4000, 100_000)
        for value in stored:
            store_one(port, value)
            slabs = memcached_stats(port, "slabs")
            chunks = {int(text) for name, text in slabs.items() if name.endswith(":chunk_size")}
            mine = min(size for size in slab_classes() if size >= memcached_item(value))
            seen.add(mine)
            assert chunks == seen, value  # it is the class that is new, or was there
            assert memcached_memory(value) == PAGE / (PAGE // mine)
        assert int(memcached_stats(port)["bytes"]) == sum(memcached_item(value) for value in stored)


def store_one(port: int, value: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        key = (b"%d" % value).zfill(KEY_BYTES)
        connection.sendall(b"set %b 0 60 %d\r\n%b\r\n" % (key, value, b"v" * value))
        assert connection.recv(100) == b"STORED\r\n"


def test_a_size_that_was_not_measured_lies_between_those_that_were() -> None:
    measured = Measured.read()
    sizes = measured.result["sizes"]["sessionstore, zlib"]
    assert measured.value(600, "zlib") == sizes["600"]["value"]
    assert sizes["600"]["value"] < measured.value(1000, "zlib") < sizes["4096"]["value"]
    assert measured.value(8192, "zlib") > sizes["4096"]["value"]


# -- touches --


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
def test_touches_of_single_requests_at_random_are_the_closed_form(share: float) -> None:
    # After each touch the interval, and then the time to the next request.
    plan = Plan(visit=1, untouched=0, writes=0, requests=200)
    interval = share * DAY
    expected = 1 / (1 + interval * plan.requests / DAY)
    found = simulate(users(plan), 14 * DAY, interval)
    assert found.touches == pytest.approx(expected, rel=0.08)
    assert found.ended == 0
    assert found.most_early < interval


def test_without_throttling_every_read_is_recorded_and_nothing_ends_early() -> None:
    plan = Plan()
    found = simulate(users(plan), plan.idle, 0)
    assert found.touches == pytest.approx(1 - plan.untouched - plan.writes, abs=0.01)
    assert found.most_early == found.early == found.ended == 0


def test_a_session_never_ends_later_for_it_and_at_most_an_interval_earlier() -> None:
    everybody = users(Plan(gap=300))
    exact = simulate(everybody, 3600, 0)
    last = -1.0
    for interval in (36, 360, 1800):
        found = simulate(everybody, 3600, interval)
        assert 0 < found.most_early <= interval
        assert found.ended >= exact.ended
        assert found.early > last
        last = found.early


# -- queues and storms --


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_threads_queue_is_the_closed_form(load: float) -> None:
    found = waits(random.Random(2), load, 1, 60_000)
    assert statistics.mean(found) == pytest.approx(mean_wait(load), rel=0.05)
    assert sum(wait == 0 for wait in found) / len(found) == pytest.approx(1 - load, abs=0.01)


def test_several_threads_wait_less_for_the_same_load() -> None:
    one, four = (waits(random.Random(2), 0.8, servers, 20_000) for servers in (1, 4))
    assert 0 < statistics.mean(four) < statistics.mean(one) / 3
    # Half of M/M/4's wait (Erlang's C is 0.596 there), which is a little less than M/D/4's.
    assert statistics.mean(four) == pytest.approx(0.596 / (4 * 0.2) / 2, rel=0.1)


def test_no_command_fails_below_what_a_server_can_do() -> None:
    found = storm.simulate(1, 0.4, 0.8, 20, 0.3)
    assert found.failed_in_storm == 0 and found.opened is None and found.recovery == 0
    asked = storm.SERVED * (0.4 * (storm.BEFORE + storm.MOST_AFTER) + 0.8 * storm.DURING)
    assert found.served == pytest.approx(asked, rel=0.03)


def test_a_storm_fails_more_than_the_surplus_until_the_breakers_spare_the_server() -> None:
    found = storm.simulate(1, 0.4, 2.0, 20, 0.3)
    assert found.failed_in_storm > 0.5  # which would be the surplus
    assert found.opened is not None and 0.5 < found.opened < 2
    assert found.refused > found.late > 0
    assert found.recovery < storm.MOST_AFTER - 1
    assert found.came == pytest.approx(2 * storm.SERVED * storm.DURING, rel=0.03)


def test_a_storm_does_not_depend_on_how_many_commands_one_stands_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fine = storm.simulate(1, 0.4, 1.5, 100, 0.5)
    monkeypatch.setattr(storm, "SERVED", storm.SERVED // 4)
    coarse = storm.simulate(1, 0.4, 1.5, 25, 0.5)
    assert fine.came == pytest.approx(4 * coarse.came, rel=0.05)
    assert coarse.failed_in_storm == pytest.approx(fine.failed_in_storm, abs=0.05)
    assert coarse.opened == pytest.approx(fine.opened, abs=0.3)


def test_writes_are_not_sent_again() -> None:
    reads, writes = (storm.simulate(1, 0.4, 1.2, 20, share) for share in (0.0, 1.0))
    # What is sent again is more work, and so more errors.
    assert writes.failed_in_storm < reads.failed_in_storm


# -- arithmetic --


def test_the_demand_of_a_million_by_hand() -> None:
    plan = Plan(requests=8.64, peak=1, untouched=0.5, writes=0.1, life=10, logouts=0.5)
    found = Demand.of(plan, 1e6, touches=0.02)
    logins = 1e6 / (10 * DAY)
    assert found.requests == pytest.approx(100)
    assert found.verbs == pytest.approx(
        {
            "load": 50 + logins * 1.5,
            "replace": 10 + 2 + logins,
            "create": logins,
            "delete": logins / 2,
        }
    )
    assert sum(found.kinds(plan.untouched).values()) == pytest.approx(100 + logins)


def test_servers_by_memory_and_by_commands_by_hand() -> None:
    measured, demand = Measured.read(), Demand.of(Plan(), 1e9, touches=0)
    each = redis_usage(measured.value(600, "no compression")) + measured.redis_tables
    plan = Plan(memory=10.001 * each / GIB * 1e6, reserved=0.5, fill=0.5)  # for 2.5 M sessions
    assert sizing.redis_size(plan, measured, demand).by_memory == 400
    found = sizing.redis_size(replace(plan, memory=1e6, busy=0.1), measured, demand)
    work = found.load * found.servers
    assert found.by_memory == 1
    assert found.servers == found.by_commands == -(-work // 0.1)
    assert sizing.redis_size(Plan(nodes=50), measured, demand).servers == 50
    # Cluster needs three, one server is enough for few.
    assert sizing.redis_size(Plan(), measured, Demand.of(Plan(), 1e4, 0)).servers == 1


def test_a_servers_share_is_its_arcs() -> None:
    ring = balance.ring_of(7)
    shares, found = balance.ring_shares(ring), balance.on_the_ring(random.Random(1), ring, 50_000)
    assert sum(shares) == pytest.approx(1)
    for share, count in zip(shares, found, strict=True):
        assert count / 50_000 == pytest.approx(share, abs=0.01)


def test_the_fullest_of_memcacheds_servers_has_room() -> None:
    measured, demand = Measured.read(), Demand.of(Plan(), 1e9, touches=0)
    found = sizing.memcached_size(Plan(busy=1), measured, demand, copies=1)
    room = Plan().memory * GIB * Plan().fill
    fullest = max(balance.ring_shares(balance.ring_of(found.by_memory)))
    assert fullest * found.data <= room
    fewer = balance.ring_shares(balance.ring_of(found.by_memory - 1))
    assert max(fewer) * found.data > room
    assert found.by_memory > found.data / room + 1, "the mean is not enough"


def test_two_copies_are_the_commands_that_the_page_on_memcached_says() -> None:
    demand = Demand(1e6, 100, logins=1, logouts=2, touches=3, writes=4, loads=50)
    found = sizing.copied(demand, servers=5)
    # A save is three; a logout is one and one for each server; a creation is two.
    assert found == {"load": 50 + 8, "replace": 2 * 8, "create": 2 * 1, "delete": 2 * (1 + 5)}


def test_connections_by_hand() -> None:
    plan = Plan(served=100, processes=4, threads=200, at_once=0.1, restart=10)
    demand = Demand(1e6, 1000, logins=1, logouts=0, touches=0, writes=0, loads=0)
    apps = sizing.Apps.of(plan, demand)
    # Ten servers of four processes; max_connections is 64, however many threads there are.
    assert (apps.servers, apps.shared, apps.threaded) == (10, 40, 40 * 64)
    assert apps.watching == pytest.approx(40 * 2 / 0.45)
    found = reconnecting(plan, Measured.read(), apps, "redis", threaded=False, tls=True)
    assert (found.deploy, found.rolling) == (100, pytest.approx(4 / 10))
    cpu = Measured.read().connect("redis", tls=True)
    assert (found.together, found.spread) == pytest.approx((40 * cpu, 200 * cpu))


def test_what_waits_for_a_replica_is_not_at_risk() -> None:
    demand = Demand(1e6, 1000, logins=10, logouts=5, touches=20, writes=70, loads=900)
    assert at_risk(demand, 5, 0.05, "0").logins == pytest.approx(0.15)
    assert at_risk(demand, 5, 0.05, "0").saves == pytest.approx(1)
    assert at_risk(demand, 5, 0.05, "1").logins == 0
    assert at_risk(demand, 5, 0.05, "1").saves == pytest.approx(1)
    assert at_risk(demand, 5, 0.05, "all").saves == 0
    # Further behind than a write can wait (0.09 s of a timeout of 0.5): nothing is confirmed.
    assert at_risk(demand, 5, 0.5, "all") == at_risk(demand, 5, 0.5, "0")


# -- the command and the page --


def test_the_page_is_in_step_with_the_code() -> None:
    text = PAGE_OF_DOCS.read_text()
    for name, section in sections(Answers(Plan(), Measured.read(), SESSIONS)).items():
        found = text.partition(f"<!-- {name}: begin -->\n\n")[2].partition(f"\n<!-- {name}: end")[0]
        assert found == section, f"{name}: write docs/scale.md anew, by benchmarks.scale --markdown"


def test_a_page_without_a_place_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    by_hand = "# By hand\n<!-- one: begin -->\n<!-- one: end -->\n"
    page.write_text(by_hand)
    with pytest.raises(ValueError, match="no place for other"):
        renew(page, {"one": "1", "other": "2"})
    assert page.read_text() == by_hand
    renew(page, {"one": "1"})
    assert page.read_text() == by_hand.replace("begin -->", "begin -->\n\n1")


def test_the_command_takes_other_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "sizing", "--sessions", "5e6", "--bytes", "4096", "--nodes", "77"]) == 0
    shown = capsys.readouterr().out
    assert "5 M" in shown and "77 + 77" in shown and "1 G" not in shown


def test_a_run_of_the_benchmark_takes_the_place_of_the_committed_one(tmp_path: Path) -> None:
    result = json.loads(COMMITTED.read_text())
    result["costs"]["redis"]["verbs"]["load"]["alone"] = [99.0]
    del result["sizes"]
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(result))
    found = Measured.read(file)
    assert found.cost("redis", "load", 598).alone == pytest.approx(99e-6)
    assert "from the committed run: sizes" in found.about
    assert found.value(600, "no compression") == Measured.read().value(600, "no compression")
