"""Every target: what is run, what it begins with, and how much it may get."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from tests.fuzz.targets import cookies, discovery, memcached, records, redis, shares, urls, values

Run = Callable[[bytes], None]


class Target(NamedTuple):
    """One thing to fuzz.

    :param run: raises whatever it likes if something does not hold
    :param title: what is parsed, for the table
    :param seeds: makes the inputs to begin with; those of real servers are in the corpus
    :param max_len: bytes of an input
    """

    run: Run
    title: str
    seeds: Callable[[], Iterable[bytes]] = tuple
    max_len: int = 4096


TARGETS: Final[dict[str, Target]] = {
    "cookies": Target(cookies.header, "`Cookie` header, duplicates", cookies.seeds, 16384),
    "token": Target(cookies.token, "token: altered, and minted", cookies.token_seeds, 512),
    "record": Target(records.raw, "record that nobody has sealed", records.seeds),
    "record-sealed": Target(records.sealed, "record behind the MAC", records.sealed_seeds),
    "envelope": Target(records.envelope, "compressed payload, bombs", records.envelope_seeds),
    "codec": Target(values.decoding, "attribute's bytes", values.seeds),
    "codec-values": Target(values.encoding, "attribute's value, there and back", max_len=1024),
    "memcached-meta": Target(memcached.meta, "Memcached's meta protocol", memcached.meta_seeds),
    "memcached-binary": Target(
        memcached.binary, "Memcached's binary protocol", memcached.binary_seeds
    ),
    "memcached-flows": Target(
        memcached.flows, "Memcached's replies: verbs, log-in, doctor", memcached.flow_seeds
    ),
    "memcached-shares": Target(
        shares.stored, "notes and copies on Memcached servers", shares.seeds
    ),
    "memcached-nodes": Target(
        discovery.nodelist, "Auto Discovery's list of servers", discovery.seeds
    ),
    "redis-bytes": Target(redis.raw, "RESP, error texts, redirects", redis.seeds),
    "redis-replies": Target(redis.replies, "Redis's replies: verbs, doctor", max_len=2048),
    "redis-topology": Target(
        redis.topologies, "what Sentinel and Cluster say", redis.topology_seeds, 2048
    ),
    "url": Target(urls.opening, "a store's URL", urls.seeds, 1024),
}
