"""SECURITY.md section 2, rows 13 to 20: what the store may hold, and what an app may put in."""

from __future__ import annotations

import os
import pickle  # noqa: TID251 (what an attacker would store)
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.adapters.conftest import Counting, MakeSite
from tests.support.calling import Answer
from tests.support.sites import Site, begun, look

Keys = Callable[[], dict[bytes, bytes]]


def is_void(answer: Answer) -> bool:
    """Reads as empty, and no cookie is set or deleted."""
    return (answer.status, answer.result, answer.set_cookies) == (200, {}, [])


def test_row13_every_byte_damaged_is_never_the_session(
    site: Site, keys: Keys, redis_client: redis.Redis
) -> None:
    browser = begun(site, a=1)
    [(key, value)] = keys().items()
    for position in range(len(value)):
        damaged = bytearray(value)
        damaged[position] ^= 1 << position % 8
        redis_client.set(key, bytes(damaged), keepttl=True)
        assert is_void(browser.get(look)), position
        assert redis_client.get(key) == bytes(damaged)
    redis_client.set(key, value, keepttl=True)
    assert browser.do(look) == {"a": 1}


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


def newer_format(value: bytes) -> bytes:
    return b"\x02" + value[1:]


def unknown_key(value: bytes) -> bytes:
    return value[:13] + bytes(byte ^ 0xFF for byte in value[13:15]) + value[15:]


class Exploit:
    """Unpickling this would leave a trace."""

    executed = False

    def __reduce__(self) -> Any:
        return (setattr, (Exploit, "executed", True))


STORED: dict[str, Callable[[bytes], bytes]] = {
    "row14-newer-format": newer_format,
    "row14-unknown-key-id": unknown_key,
    "row16-pickle": lambda value: pickle.dumps(Exploit()),
    "row16-pickle-inside": lambda value: value[:100] + pickle.dumps(Exploit()),
    "row17-empty-value": lambda value: b"",
    "row17-one-byte": lambda value: b"\x01",
    "row17-only-a-header": lambda value: value[:94],
    "row17-nested-deep": lambda value: value[:94] + b"\x91" * 100_000,
    "row17-one-MiB": lambda value: b"\x01" * 1_048_576,
}


@pytest.mark.parametrize("change", STORED.values(), ids=list(STORED))
def test_what_cannot_be_read_is_void_and_left_alone(
    site: Site, keys: Keys, redis_client: redis.Redis, change: Callable[[bytes], bytes]
) -> None:
    browser = begun(site, a=1)
    before = browser.cookie
    [(key, value)] = keys().items()
    redis_client.set(key, change(value), keepttl=True)
    assert is_void(browser.get(look))
    assert keys() == {key: change(value)}
    assert not Exploit.executed
    redis_client.set(key, value, keepttl=True)
    assert browser.cookie == before
    assert browser.do(look) == {"a": 1}


def test_row15_another_sessions_record_is_refused_an_older_one_of_ones_own_is_not(
    site: Site, keys: Keys, redis_client: redis.Redis
) -> None:
    ann = begun(site, user="ann")
    [(key, older)] = keys().items()
    ann.do(lambda session: session.update({"more": 1}))
    bob = begun(site, user="bob")
    [(_, bobs)] = [(other, value) for other, value in keys().items() if other != key]
    redis_client.set(key, bobs, keepttl=True)
    assert is_void(ann.get(look))
    redis_client.set(key, older, keepttl=True)
    assert ann.do(look) == {"user": "ann"}  # the documented limit
    assert bob.do(look) == {"user": "bob"}


def test_row17_a_bomb_stays_within_max_size(make_site: MakeSite) -> None:
    browser = begun(make_site(max_size=10_000_000, compression="zlib"), a="x" * 5_000_000)
    browser.site = make_site(max_size=100_000)
    assert is_void(browser.get(look))


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
