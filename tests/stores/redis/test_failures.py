"""Error replies: each its typed error, by both transports, and none quotes the server."""

from __future__ import annotations

import traceback

import pytest

from sessionstore.core.errors import (
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.verbs import Deleted
from sessionstore.stores.attempts import Failure
from sessionstore.stores.redis.endpoint import take_reply
from sessionstore.stores.redis.failures import ReplyError, ScriptMissing, from_reply
from sessionstore.stores.url import open_store
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.support.scripted_redis import ScriptedRedis

SECRET = "xyzzy-payload"

REPLIES = [
    ("WRONGPASS invalid username-password pair or user is disabled.", StoreRefused, False),
    ("NOAUTH Authentication required.", StoreRefused, False),
    ("NOPERM this user has no permissions to run the 'get' command", StoreRefused, False),
    ("DENIED Redis is running in protected mode because", StoreRefused, False),
    ("LOADING Redis is loading the dataset in memory", StoreUnavailable, True),
    ("BUSY Redis is busy running a script.", StoreUnavailable, True),
    ("CLUSTERDOWN The cluster is down", StoreUnavailable, True),
    ("TRYAGAIN Multiple keys request during rehashing of slot", StoreUnavailable, True),
    ("MASTERDOWN Link with MASTER is down", StoreUnavailable, True),
    ("READONLY You can't write against a read only replica.", StoreUnavailable, True),
    ("ERR max number of clients reached", StoreUnavailable, True),
    ("OOM command not allowed when used memory > 'maxmemory'.", StoreFull, False),
    ("MISCONF Redis is configured to save RDB snapshots", StoreFull, False),
    ("NOREPLICAS Not enough good replicas to write.", StoreFull, False),
    ("MOVED 3999 127.0.0.1:6381", StoreRefused, False),
    ("ASK 3999 127.0.0.1:6381", StoreRefused, False),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", StoreRefused, False),
    ("NOPROTO unsupported protocol version", StoreRefused, False),
    (f"ERR unknown command 'GET', with args beginning with: '{SECRET}'", StoreRefused, False),
    ("", StoreRefused, False),
    (f"{SECRET}", StoreRefused, False),
    # Redis 6 and before wrap what happened inside a script.
    (
        "ERR Error running script (call to f_c0ffee): @user_script:5: -OOM command not allowed",
        StoreFull,
        False,
    ),
    (
        "ERR Error running script (call to f_c0ffee): @user_script: 5: -READONLY You can't write",
        StoreUnavailable,
        True,
    ),
]


@pytest.mark.parametrize(("text", "kind", "retry"), REPLIES)
def test_what_a_reply_means(text: str, kind: type[StoreError], retry: bool) -> None:
    failure = from_reply(ReplyError(text), "node:1")
    assert type(failure.error) is kind
    assert failure.retry is retry
    # The server has answered, so it has not executed the command: also a write may be repeated.
    assert not failure.lost
    assert failure.error.node == "node:1"
    assert SECRET not in str(failure.error)


def test_noscript_is_for_the_flow() -> None:
    failure = from_reply(ReplyError("NOSCRIPT No matching script."), "node:1")
    assert isinstance(failure.error, ScriptMissing)


@BOTH
@pytest.mark.parametrize(("text", "kind", "retry"), REPLIES)
def test_every_error_reply_is_a_typed_error(
    how: str, text: str, kind: type[StoreError], retry: bool
) -> None:
    with ScriptedRedis(f"-{text}\r\n".encode()) as server:
        store = open_store(f"{server.url}?timeout=0.5")
        with Stopwatch(0.5), pytest.raises(kind) as caught:
            carry(store, how, store.replace(store.key("h"), value(1), 9, value(1)[1:13]))
        store.close()
        assert type(caught.value) is kind
        assert (len(server.commands) > 1) is retry
        assert server.port == int(str(caught.value.node).rpartition(":")[2])
    everything = "".join(traceback.format_exception(caught.value))
    assert SECRET not in everything


@BOTH
@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02",
        b"$-7\r\n",
        b":12a\r\n",
        b"%1\r\n*0\r\n:1\r\n",
    ],
    ids=["HTTP", "TLS alert", "negative length", "no number", "a map with a list for a key"],
)
def test_what_is_not_redis_is_refused(how: str, reply: bytes) -> None:
    with ScriptedRedis(reply) as server:
        store = open_store(f"{server.url}?timeout=10")
        with pytest.raises(StoreRefused, match="not Redis protocol"):
            carry(store, how, store.load(store.key("h")))
        # For a write it might have been executed all the same.
        with pytest.raises(OutcomeUnknown):
            carry(store, how, store.create(store.key("h"), value(1), 9))
        store.close()
        assert len(server.commands) == 2


def test_a_list_that_there_is_no_memory_for_is_refused() -> None:
    """As hiredis does it for "*4294967295", on a machine of this size or that."""

    class Reader:
        def gets(self) -> object:
            raise MemoryError

    with pytest.raises(Failure, match="not Redis protocol"):
        take_reply(Reader(), "node")


@BOTH
def test_more_than_the_reply_is_refused(how: str) -> None:
    """Whose would the surplus be? The next command's, if this connection were used again."""
    surplus = b"$13\r\n" + value(7) + b"\r\n"
    with ScriptedRedis(b"$-1\r\n" + surplus) as server:
        store = open_store(f"{server.url}?timeout=10")
        for _ in range(3):
            # The async store has given out the first reply by the time it sees the second.
            try:
                assert carry(store, how, store.load(store.key("h"))) is None
            except StoreRefused as error:
                assert "more than" in str(error)  # noqa: PT017
        store.close()
        assert server.connections == len(server.commands) == 3


@BOTH
def test_a_known_script_costs_one_command_an_unknown_one_two(how: str) -> None:
    known = False

    def answer(command: list[bytes]) -> bytes:
        nonlocal known
        known = known or command[0] == b"EVAL"
        return b":1\r\n" if known else b"-NOSCRIPT No matching script. Please use EVAL.\r\n"

    with ScriptedRedis(answer) as server:
        store = open_store(server.url)
        for _ in range(2):
            assert carry(store, how, store.delete(store.key("h"), value(1)[1:13])) == Deleted()
        store.close()
        assert [command[0] for command in server.commands] == [b"EVALSHA", b"EVAL", b"EVALSHA"]


@BOTH
def test_a_write_is_retried_while_the_server_says_no(how: str) -> None:
    answers = [b"-LOADING\r\n", b"-LOADING\r\n", b"-READONLY\r\n", b"+OK\r\n"]
    with ScriptedRedis(lambda command: answers.pop(0)) as server:
        store = open_store(f"{server.url}?timeout=5")
        carry(store, how, store.create(store.key("h"), value(1), 9))
        store.close()
        assert len({tuple(command) for command in server.commands}) == 1
        assert len(server.commands) == 4
        assert server.connections == 2  # READONLY: perhaps the address leads elsewhere by now


def test_a_failure_can_be_raised_for_many() -> None:
    failure = Failure(StoreUnavailable("down", node="n:1"), lost=True)
    errors = [failure.again(lost=lost).error for lost in (True, False)]
    assert errors[0] is not errors[1]
    assert [str(error) for error in errors] == ["down (n:1)"] * 2
    assert [error.node for error in errors] == ["n:1"] * 2


# -- the handshake --


@BOTH
@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (b"-WRONGPASS invalid username-password pair\r\n", StoreRefused, "password refused"),
        (
            b"-ERR AUTH <password> called without any password configured for the default user\r\n",
            StoreRefused,
            "the server has none",
        ),
        (b"-NOPERM\r\n", StoreRefused, "NOPERM"),
        (b"-LOADING Redis is loading\r\n", StoreUnavailable, "LOADING"),
        (b"-ERR max number of clients reached\r\n", StoreUnavailable, "maxclients"),
        (b"-ERR DB index is out of range\r\n", StoreRefused, "log-in or the database"),
        (b"-ERR invalid password\r\n", StoreRefused, "password refused"),
        (b"HTTP/1.1 400\r\n", StoreRefused, "not Redis protocol"),
        (b"", StoreUnavailable, "log|connect"),
        (None, StoreUnavailable, "lost"),
        (b"*1\r\n$1\r\na\r\n", StoreRefused, "refused"),
        (b":5\r\n", StoreRefused, "refused"),
    ],
)
def test_a_failed_log_in(
    how: str, reply: bytes | None, kind: type[StoreError], message: str
) -> None:
    with ScriptedRedis(lambda command: reply) as server:
        store = open_store(f"redis://user:{SECRET}@127.0.0.1:{server.port}/0?timeout=0.5")
        with Stopwatch(0.5), pytest.raises(kind, match=message) as caught:
            # A write: nothing was sent, so its outcome is known.
            carry(store, how, store.create(store.key("h"), value(1), 9))
        assert not isinstance(caught.value, OutcomeUnknown)
        store.close()
        assert all(command[0] == b"AUTH" for command in server.commands)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
