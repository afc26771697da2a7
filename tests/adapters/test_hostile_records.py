"""SECURITY.md section 2, rows 13 to 20: what the store may hold, and what an app may put in."""

from __future__ import annotations

import os
import pickle  # noqa: TID251 (what an attacker would store)
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import redis

from sessionstore import CodecError
from sessionstore.core.record import Record
from tests.adapters.conftest import Counting, MakeSite
from tests.adapters.support import is_new, little_work
from tests.support.memcached_servers import MemcachedServer
from tests.support.records import handle_in, rewrite, with_payload
from tests.support.sites import MARK, Browser, Site, begun, look

Keys = Callable[[], dict[bytes, bytes]]
Change = Callable[[bytes], bytes]


@pytest.mark.once  # a thousand requests; the core tests the same on each Python
def test_row13_every_bit_flipped_is_never_the_session(
    site: Site, keys: Keys, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    browser = site.browser()
    browser.do(lambda session: session.update(MARK))
    [(key, value)] = keys().items()
    for position in range(len(value)):
        for bit in range(8):
            damaged = bytearray(value)
            damaged[position] ^= 1 << bit
            redis_client.set(key, bytes(damaged), keepttl=True)
            caplog.clear()
            assert is_new(browser.get(look)), (position, bit)
            assert "unreadable_record" in caplog.text, (position, bit)
            assert redis_client.get(key) == bytes(damaged)
    redis_client.set(key, value, keepttl=True)
    assert browser.do(lambda session: session["m"]) == MARK["m"]


def as_admin(found: Record) -> Record:
    return found._replace(subject="admin", epoch=found.epoch + 1)


@pytest.mark.parametrize("claim", ["unknown key", "authenticator"])
def test_row13_what_a_writer_to_the_store_forges_is_refused(
    site: Site,
    keys: Keys,
    redis_client: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    claim: str,
) -> None:
    """Another session's layout, fields and all, sealed with a key of the attacker's."""
    browser = begun(site, a=1)
    [(key, value)] = keys().items()
    rewrite(redis_client, key, as_admin, secret="what the attacker has for a key, 32 B")
    if claim == "authenticator":
        forged = keys()[key]
        redis_client.set(key, forged[:13] + value[13:15] + forged[15:], keepttl=True)
    stored = keys()
    assert browser.get(lambda session: (session.subject, look(session))).result == (None, {})
    assert f"unreadable_record:{claim.rpartition(' ')[2]}" in caplog.text
    assert keys() == stored


def test_row13_a_write_to_an_unreadable_record_is_refused(
    site: Site, keys: Keys, redis_client: redis.Redis
) -> None:
    browser = begun(site, a=1)
    [(key, value)] = keys().items()
    damaged = value[:-1] + bytes([value[-1] ^ 1])
    redis_client.set(key, damaged, keepttl=True)
    answer = browser.get(lambda session: session.update({"b": 2}))
    assert answer.status in (409, 400)
    assert answer.set_cookies == []
    assert keys() == {key: damaged}


def is_void_and_left_alone(
    browser: Browser, keys: Keys, redis_client: redis.Redis, change: Change
) -> None:
    """Empty, with the cookie and the record as they were: also when the client writes or ends."""
    [(key, value)] = keys().items()
    changed = change(value)
    redis_client.set(key, changed, keepttl=True)
    assert is_new(browser.get(look))
    for action in (lambda s: s.update({"b": 2}), lambda s: s.logout(), lambda s: s.clear()):
        answer = browser.get(action)
        assert answer.status < 500
        assert answer.set_cookies == []
    assert keys() == {key: changed}
    redis_client.set(key, value, keepttl=True)
    assert browser.do(look) == {"a": 1}


def newer_format(value: bytes) -> bytes:
    return b"\x02" + value[1:]


def unknown_key(value: bytes) -> bytes:
    return value[:13] + bytes(byte ^ 0xFF for byte in value[13:15]) + value[15:]


@pytest.mark.parametrize("change", [newer_format, unknown_key])
def test_row14_what_a_newer_server_wrote_is_void_and_stays(
    site: Site, keys: Keys, redis_client: redis.Redis, change: Change
) -> None:
    is_void_and_left_alone(begun(site, a=1), keys, redis_client, change)


def test_row15_another_sessions_record_is_refused_an_older_one_of_ones_own_is_not(
    site: Site, keys: Keys, redis_client: redis.Redis
) -> None:
    ann = begun(site, user="ann")
    [(key, older)] = keys().items()
    ann.do(lambda session: session.update({"more": 1}))
    bob = begun(site, user="bob")
    [(_, bobs)] = [(other, value) for other, value in keys().items() if other != key]
    redis_client.set(key, bobs, keepttl=True)
    assert is_new(ann.get(look))
    redis_client.set(key, older, keepttl=True)
    assert ann.do(look) == {"user": "ann"}  # the documented limit
    assert bob.do(look) == {"user": "bob"}


class Exploit:
    """Unpickling this would leave a trace."""

    executed = False

    def __reduce__(self) -> Any:
        return (setattr, (Exploit, "executed", True))


PICKLES: dict[str, Change] = {
    "a pickle": lambda value: pickle.dumps(Exploit()),
    "behind our header": lambda value: value[:100] + pickle.dumps(Exploit()),
    "as the payload": lambda value: pickle.dumps(Exploit()).join([value[:94], value[-16:]]),
}


@pytest.mark.parametrize("change", PICKLES.values(), ids=list(PICKLES))
def test_row16_a_pickle_is_not_executed(
    site: Site, keys: Keys, redis_client: redis.Redis, change: Change
) -> None:
    is_void_and_left_alone(begun(site, a=1), keys, redis_client, change)
    assert not Exploit.executed


def test_row16_a_sealed_pickle_is_not_executed(
    site: Site, keys: Keys, redis_client: redis.Redis
) -> None:
    """Not even where the key signs it."""
    browser = begun(site, a=1)
    [(key, value)] = keys().items()
    sealed = with_payload(value, handle_in(key), pickle.dumps(Exploit()))
    redis_client.set(key, sealed, keepttl=True)
    answer = browser.get(look)
    assert (answer.status, answer.result) == (200, {})
    assert not Exploit.executed


PICKLE_FLAGS = (1, 16, 0xFFFF_FFFF)
"""python-memcached's and pymemcache's; python-binary-memcached's; and whatever else."""


@pytest.mark.parametrize("flags", PICKLE_FLAGS)
def test_row16_memcacheds_flags_mean_nothing(
    make_site: MakeSite, memcached_server: MemcachedServer, prefix: str, flags: int
) -> None:
    browser = begun(make_site(f"{memcached_server.url}?prefix={prefix}&timeout=5"), a=1)
    [key] = [key for key in memcached_server.stored() if key.startswith(prefix.encode())]
    memcached_server.put(key, pickle.dumps(Exploit()), flags)
    assert is_new(browser.get(look))
    assert not Exploit.executed


UNSEALED: dict[str, Change] = {
    "empty value": lambda value: b"",
    "one byte": lambda value: b"\x01",
    "only a header": lambda value: value[:94],
    "nested deep": lambda value: value[:94] + b"\x91" * 100_000,
    "one MiB": lambda value: b"\x01" * 1_048_576,
}


@pytest.mark.parametrize("change", UNSEALED.values(), ids=list(UNSEALED))
def test_row17_nonsense_is_void_and_left_alone(
    site: Site, keys: Keys, redis_client: redis.Redis, change: Change
) -> None:
    is_void_and_left_alone(begun(site, a=1), keys, redis_client, change)


def text(name: bytes) -> bytes:
    return bytes([0xA0 | len(name)]) + name


def binary(data: bytes) -> bytes:
    return b"\xc6" + len(data).to_bytes(4, "big") + data


def extension(tag: int, data: bytes) -> bytes:
    return b"\xc9" + len(data).to_bytes(4, "big") + bytes([tag]) + data


NESTED = b"\x91" * 100_000 + b"\xc0"
SEALED: dict[str, bytes] = {
    "nested 10^5 deep": NESTED,
    "integer of 10^6 digits": b"\x81" + text(b"a") + binary(extension(4, b"\x7f" * 415_242)),
    "no map": b"\x93\x01\x02\x03",
    "nothing": b"",
    "a billion promised": b"\xdf\x3b\x9a\xca\x00" + text(b"a"),
    "not text": b"\x81" + text(b"\xff\xfe") + binary(b"\x01"),
}
"""Payloads with a good authenticator: as if the attacker had the key."""


@pytest.mark.parametrize("payload", SEALED.values(), ids=list(SEALED))
def test_row17_what_is_sealed_is_bounded_all_the_same(
    site: Site, keys: Keys, redis_client: redis.Redis, payload: bytes
) -> None:
    browser = begun(site, a=1)
    [(key, value)] = keys().items()
    sealed = with_payload(value, handle_in(key), payload)
    with little_work(0.5):
        is_void_and_left_alone(browser, keys, redis_client, lambda value: sealed)


def nested_tuples(depth: int) -> bytes:
    packed = b"\xc0"
    for _ in range(depth):
        packed = extension(1, b"\x91" + packed)
    return packed


@pytest.mark.parametrize(
    "data", [NESTED, nested_tuples(2000), b""], ids=["nested 10^5 deep", "tuples", "empty"]
)
def test_row17_a_sealed_attribute_that_does_not_decode_is_an_error_and_nobodys_session(
    site: Site, keys: Keys, redis_client: redis.Redis, data: bytes
) -> None:
    """The record is authentic, and so it is not void: the app is told, and nothing changes."""
    browser = begun(site, a=1)
    [(key, _)] = keys().items()
    rewrite(redis_client, key, lambda found: found._replace(attributes={"a": data}))
    stored = keys()
    with little_work(0.5):
        answer = browser.get(look)
    assert (answer.status, answer.set_cookies) == (500, [])
    assert isinstance(answer.error, CodecError)
    assert keys() == stored


def test_row17_of_duplicate_names_one_counts(
    site: Site, keys: Keys, redis_client: redis.Redis
) -> None:
    browser = begun(site, a=1)
    [(key, value)] = keys().items()
    twice = b"\x82" + (text(b"a") + binary(b"\x02")) + (text(b"a") + binary(b"\x03"))
    redis_client.set(key, with_payload(value, handle_in(key), twice), keepttl=True)
    assert browser.do(look) == {"a": 3}
    browser.do(lambda session: session.update({"a": 4}))
    assert browser.do(look) == {"a": 4}


@pytest.mark.parametrize("compression", ["zlib", "zstd"])
def test_row17_a_bomb_stays_within_max_size(
    make_site: MakeSite, keys: Keys, compression: str
) -> None:
    browser = begun(make_site(max_size=30_000_000, compression=compression), a="x" * 20_000_000)
    [stored] = keys().values()
    assert len(stored) < 25_000
    browser.site = make_site(max_size=100_000)
    tracemalloc.start()
    try:
        assert is_new(browser.get(look))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def a_box_in_itself() -> list[Any]:
    box: list[Any] = []
    box.append(box)
    return box


UNSTORABLE: dict[str, Callable[[], tuple[Any, str]]] = {
    "row18-object": lambda: ({"items": [1, object()]}, "cart.items[1]"),
    "row18-surrogate": lambda: (["\ud800"], "cart[0]"),
    "row18-itself": lambda: (a_box_in_itself(), "cart[0]"),
}


@pytest.mark.parametrize("make", UNSTORABLE.values(), ids=list(UNSTORABLE))
def test_row18_what_cannot_be_stored_is_a_type_error_and_the_old_record_stays(
    site: Site, keys: Keys, make: Callable[[], tuple[Any, str]], caplog: pytest.LogCaptureFixture
) -> None:
    browser = begun(site, a=1)
    before = keys()
    value, path = make()
    answer = browser.get(lambda session: session.update({"cart": value}))
    assert answer.status == 500
    assert answer.set_cookies == []
    assert path in caplog.text + repr(answer.error)
    assert keys() == before
    assert browser.do(look) == {"a": 1}


def test_row19_keys_1_and_text_1_stay_apart(site: Site) -> None:
    browser = begun(site, box={1: "int", "1": "text"})
    assert browser.do(look) == {"box": {1: "int", "1": "text"}}


def test_row20_too_large_is_seen_before_the_network(
    site: Site, keys: Keys, counting: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    browser = begun(site, a=1)
    before = keys()
    with counting() as commands:
        answer = browser.get(lambda session: session.update({"big": os.urandom(300_000)}))
    assert answer.status == 500
    assert "'big'" in caplog.text + repr(answer.error)
    assert set(commands) <= {"get"}
    assert keys() == before
