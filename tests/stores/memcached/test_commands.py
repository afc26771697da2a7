"""The flows, with scripted replies: no server. And how a TTL, a key and a size are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionstore.core.errors import SessionTooLarge, StoreRefused, StoreUnavailable
from sessionstore.core.expiry import MAX_LIFETIME
from sessionstore.core.flow import Command, Flow, run
from sessionstore.core.verbs import Conflict, Deleted, Entry, Exists, Missing
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.commands import NEVER
from sessionstore.stores.memcached.conversation import (
    ITEM_OVERHEAD,
    LATEST,
    LONGEST_RELATIVE,
    check_size,
    expiry,
)
from sessionstore.stores.memcached.messages import Outcome, Reply, Request, Verb
from sessionstore.testing.driving import value

KEY = b"p:s:handle"
GET = Command(Request(Verb.GET, KEY), key=KEY)
HIT = Reply(Outcome.OK, value(3, b"theirs"), 8)
MISSING, EXISTS = Reply(Outcome.MISSING), Reply(Outcome.EXISTS)
NOW = 1_800_000_000
DAY = 86400


def scripted(flow: Flow[Any], *replies: Any) -> tuple[Any, list[Command[Any]]]:
    """Run a flow on these replies, an exception being raised; also gives what was asked."""
    asked: list[Command[Any]] = []
    rest = list(replies)

    def execute(command: Command[Any]) -> Any:
        asked.append(command)
        reply = rest.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    result = run(flow, execute)
    assert not rest, "not all replies were asked for"
    return result, asked


def test_load() -> None:
    result, asked = scripted(commands.load(KEY), HIT)
    assert result == Entry(value(3, b"theirs"), 8)
    assert asked == [GET]
    assert scripted(commands.load(KEY), MISSING)[0] is None


def test_create() -> None:
    result, asked = scripted(commands.create(KEY, value(1), 1.5), Reply(Outcome.OK, cas=4))
    assert result == 4
    assert asked == [Command(Request(Verb.ADD, KEY, value(1), 1.5), key=KEY, write=True)]
    for taken in (EXISTS, Reply(Outcome.NOT_STORED)):  # binary and meta say it differently
        assert scripted(commands.create(KEY, value(1), 1), taken)[0] == Exists()


def test_replace() -> None:
    result, asked = scripted(commands.replace(KEY, value(2), 60, 7), Reply(Outcome.OK, cas=8))
    assert result == 8
    request = Request(Verb.REPLACE, KEY, value(2), 60, 7)
    assert asked == [Command(request, key=KEY, write=True)]
    for gone in (MISSING, Reply(Outcome.NOT_STORED)):
        assert scripted(commands.replace(KEY, value(2), 60, 7), gone)[0] == Missing()


@pytest.mark.parametrize(
    "flow",
    [lambda: commands.replace(KEY, value(2), 60, 7), lambda: commands.delete(KEY, 7)],
    ids=["replace", "delete"],
)
def test_a_conflict_takes_a_second_round_trip(flow: Callable[[], Flow[Any]]) -> None:
    result, asked = scripted(flow(), EXISTS, HIT)
    assert result == Conflict(Entry(value(3, b"theirs"), 8))
    assert asked[1] == GET
    # It was deleted between the two.
    assert scripted(flow(), EXISTS, MISSING)[0] == Missing()
    # That nothing was written is sure, though it cannot be told what is there.
    with pytest.raises(StoreUnavailable):
        scripted(flow(), EXISTS, StoreUnavailable("down"))


def test_delete() -> None:
    result, asked = scripted(commands.delete(KEY, None), Reply(Outcome.OK))
    assert result == Deleted()
    assert asked == [Command(Request(Verb.DELETE, KEY), key=KEY, write=True)]
    assert scripted(commands.delete(KEY, None), MISSING)[0] == Missing()
    result, asked = scripted(commands.delete(KEY, 7), Reply(Outcome.OK))
    assert result == Deleted()
    assert asked[0].request.cas == 7


@pytest.mark.parametrize("version", [b"123456789012", 0, -1, 2**64, NEVER])
def test_a_version_that_is_none_never_matches(version: Any) -> None:
    """0 would match every item: a blind write."""
    for flow in (commands.replace(KEY, value(2), 60, version), commands.delete(KEY, version)):
        assert next(flow).request.cas == NEVER
        flow.close()


def test_server() -> None:
    assert scripted(commands.server(), Reply(Outcome.OK, b"1.6.18"))[0] == "memcached 1.6.18"


@pytest.mark.parametrize("outcome", [Outcome.CONTINUE, Outcome.FULL])
@pytest.mark.parametrize(
    "flow",
    [
        lambda: commands.load(KEY),
        lambda: commands.create(KEY, value(1), 1),
        lambda: commands.replace(KEY, value(1), 1, 5),
        lambda: commands.delete(KEY, None),
        commands.server,
    ],
    ids=["load", "create", "replace", "delete", "server"],
)
def test_a_reply_of_another_kind_is_an_error(
    flow: Callable[[], Flow[Any]], outcome: Outcome
) -> None:
    with pytest.raises(StoreRefused, match="unexpected reply"):
        scripted(flow(), Reply(outcome))


@pytest.mark.parametrize(
    "key",
    [b"", b"a b", b"a\r\nflush_all\r\n", b"a\n", b"a\x00", b"a\x7f", "ä".encode(), b"k" * 251],
)
def test_a_key_that_could_be_something_else(key: bytes) -> None:
    for flow in (
        commands.load(key),
        commands.create(key, value(1), 1),
        commands.replace(key, value(1), 1, 5),
        commands.delete(key, None),
    ):
        with pytest.raises(ValueError, match="250 printable"):
            next(flow)


# -- TTLs --


@pytest.mark.parametrize(
    ("ttl", "sent"),
    [
        (1e-9, 2),
        (0.02, 2),
        (1, 2),
        (1.5, 3),
        (60, 61),
        (30 * DAY - 1, 30 * DAY),
        (30 * DAY, NOW + 30 * DAY + 1),
        (400 * DAY, NOW + 400 * DAY + 1),
        (MAX_LIFETIME, LATEST),
        (float("inf"), LATEST),
    ],
)
def test_a_ttl_as_memcached_takes_it(ttl: float, sent: int) -> None:
    assert expiry(ttl, NOW + 0.7) == sent


@given(st.floats(1e-9, 1e12), st.floats(1_700_000_000, 2_500_000_000))
def test_a_ttl_is_never_for_ever_and_never_over_at_once(ttl: float, now: float) -> None:
    """Also after January 2038, when no time since 1970 fits any more."""
    sent = expiry(ttl, now)
    assert 0 < sent <= LATEST
    lives = sent if sent <= LONGEST_RELATIVE else sent - int(now)
    assert lives > min(ttl, LONGEST_RELATIVE - 1, MAX_LIFETIME)
    assert lives < ttl + 2


# -- sizes --


def test_an_item_of_the_servers_limit_is_not_sent() -> None:
    room = 2048 - ITEM_OVERHEAD - len(KEY)
    check_size(Request(Verb.ADD, KEY, bytes(room), 60), 2048)
    with pytest.raises(SessionTooLarge) as caught:
        check_size(Request(Verb.ADD, KEY, bytes(room + 1), 60), 2048)
    assert (caught.value.size, caught.value.limit) == (room + 1, room)
    assert str(caught.value) == f"session of {room + 1} B exceeds the limit of {room} B"
