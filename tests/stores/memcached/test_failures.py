"""What is not an answer: each its typed error, by both transports and protocols."""

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
from sessionstore.core.verbs import Deleted, Entry
from sessionstore.stores.memcached.failures import from_reply
from sessionstore.stores.memcached.messages import ERRORS, Outcome, Reply
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch
from tests.stores.memcached.conftest import PROTOCOLS, READY, MakeRunner
from tests.support.scripted_memcached import Asked, ScriptedMemcached

SECRET = "xyzzy-payload"


@pytest.mark.parametrize("outcome", sorted(ERRORS, key=lambda outcome: outcome.name))
def test_every_error_has_its_meaning(outcome: Outcome) -> None:
    failure = from_reply(Reply(outcome), "node:1")
    assert failure.error.node == "node:1"
    assert failure.retry is isinstance(failure.error, StoreUnavailable)
    assert failure.lost is (outcome is Outcome.FAILED)


ERRORS_OF_META = [
    (b"ERROR", StoreRefused, False),
    (b"CLIENT_ERROR unauthenticated", StoreRefused, False),
    (f"CLIENT_ERROR bad data chunk {SECRET}".encode(), StoreRefused, False),
    (b"SERVER_ERROR object too large for cache", StoreRefused, False),
    (b"SERVER_ERROR out of memory storing object", StoreFull, False),
    (f"SERVER_ERROR {SECRET}".encode(), StoreUnavailable, True),
]
ERRORS_OF_BINARY = [
    (0x03, StoreRefused, False),
    (0x04, StoreRefused, False),
    (0x20, StoreRefused, False),
    (0x81, StoreRefused, False),
    (0x82, StoreFull, False),
    (0x83, StoreRefused, False),
    (0x84, StoreUnavailable, True),
    (0x85, StoreUnavailable, True),
    (0x86, StoreUnavailable, True),
]


@BOTH
@pytest.mark.parametrize(
    ("reply", "kind", "retry"),
    [*ERRORS_OF_META, *ERRORS_OF_BINARY],
    ids=[str(case[0]) for case in (*ERRORS_OF_META, *ERRORS_OF_BINARY)],
)
def test_every_error_reply_is_a_typed_error(
    running: MakeRunner, how: str, reply: bytes | int, kind: type[StoreError], retry: bool
) -> None:
    def answer(asked: Asked) -> bytes:
        if isinstance(reply, int):
            return server.packet(asked, reply, SECRET.encode())
        return reply + b"\r\n"

    with ScriptedMemcached("binary" if isinstance(reply, int) else "meta", answer) as server:
        run = running(server.url(), how, timeout=0.5)
        with Stopwatch(0.5), pytest.raises(kind) as caught:
            run(run.store.load(run.store.key("h")))
        assert type(caught.value) is kind
        assert (len(server.requests) > 1) is retry
        assert str(server.port) in str(caught.value.node)
        # Whoever answers so may be a proxy: what became of a write behind it, it cannot tell.
        with pytest.raises(OutcomeUnknown if retry else kind):
            run(run.store.create(run.store.key("h"), value(1), 9))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@BOTH
@PROTOCOLS
@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02", b"+OK\r\n"],
    ids=["HTTP", "TLS alert", "Redis"],
)
def test_garbage_is_refused(running: MakeRunner, how: str, protocol: str, reply: bytes) -> None:
    good = False

    def answer(asked: Asked) -> bytes:
        return server.miss(asked) if good else reply

    with ScriptedMemcached(protocol, answer) as server:
        run = running(server.url(), how, timeout=READY)
        with Stopwatch(0), pytest.raises(StoreRefused, match="not Memcached's"):
            run(run.store.load(run.store.key("h")))
        # A write might have been executed all the same.
        with Stopwatch(0), pytest.raises(OutcomeUnknown):
            run(run.store.create(run.store.key("h"), value(1), 9))
        good = True
        assert run(run.store.load(run.store.key("h"))) is None
        assert server.connections == 3, "each time on a fresh connection"


@BOTH
@PROTOCOLS
@pytest.mark.parametrize("said", [1, 20])
def test_garbage_instead_of_the_greeting(
    running: MakeRunner, how: str, protocol: str, said: int
) -> None:
    with ScriptedMemcached(
        protocol, (b"SSH-2.0-OpenSSH_9.2p1\r\n" * 2)[:said], greeting=False
    ) as server:
        run = running(server.url(), how, timeout=0.3)
        with Stopwatch(0.3), pytest.raises((StoreRefused, StoreUnavailable)) as caught:
            run(run.store.create(run.store.key("h"), value(1), 9))
        assert not isinstance(caught.value, OutcomeUnknown)


@BOTH
@PROTOCOLS
@pytest.mark.parametrize("verb", ["load", "create", "replace", "delete"])
def test_a_reply_with_anothers_number(
    running: MakeRunner, how: str, protocol: str, verb: str
) -> None:
    """It may be another user's session: whatever this connection says next means nothing."""
    wrong = True

    def answer(asked: Asked) -> bytes:
        if wrong:
            asked = asked._replace(opaque=asked.opaque + 1)
        if asked.name == "get":
            return server.hit(asked, value(1, b"whose?"))
        return server.stored(asked)

    with ScriptedMemcached(protocol, answer) as server:
        run = running(server.url(), how, timeout=READY)
        key = run.store.key("h")

        def flow() -> object:
            return {
                "load": lambda: run.store.load(key),
                "create": lambda: run.store.create(key, value(1), 9),
                "replace": lambda: run.store.replace(key, value(1), 9, 1),
                "delete": lambda: run.store.delete(key),
            }[verb]()

        expected = StoreRefused if verb == "load" else OutcomeUnknown
        with Stopwatch(0), pytest.raises(expected, match="does not belong"):
            run(flow())  # type: ignore[arg-type]
        assert len(server.requests) == 1
        wrong = False
        result = run(flow())  # type: ignore[arg-type]
        fine = {"load": Entry(value(1, b"whose?"), 1), "delete": Deleted()}
        assert result == fine.get(verb, 1)
        assert server.connections == 2


@BOTH
@PROTOCOLS
def test_more_than_the_reply_is_refused(running: MakeRunner, how: str, protocol: str) -> None:
    """Whose would the surplus be? The next command's, if this connection were used again."""

    def answer(asked: Asked) -> bytes:
        surplus = asked._replace(opaque=asked.opaque + 1)
        return server.miss(asked) + server.hit(surplus, value(7))

    with ScriptedMemcached(protocol, answer) as server:
        run = running(server.url(), how, timeout=READY)
        for _ in range(3):
            # The async store has given out the first reply by the time it sees the second.
            try:
                assert run(run.store.load(run.store.key("h"))) is None
            except StoreRefused as error:
                assert "more than" in str(error)  # noqa: PT017
            run.idle()
        assert server.connections == len(server.requests) == 3


@BOTH
@PROTOCOLS
@pytest.mark.parametrize("cut", [1, 10])
def test_half_a_reply_and_silence(running: MakeRunner, how: str, protocol: str, cut: int) -> None:
    def answer(asked: Asked) -> bytes:
        return server.hit(asked, value(1))[:cut]

    with ScriptedMemcached(protocol, answer) as server:
        run = running(server.url(), how, timeout=0.5)
        with Stopwatch(0.5), pytest.raises(StoreUnavailable, match=r"no (whole )?reply in time"):
            run(run.store.load(run.store.key("h")))
        assert server.connections > 1


@BOTH
@PROTOCOLS
def test_an_error_that_harms_nothing_costs_no_connection(
    running: MakeRunner, how: str, protocol: str
) -> None:
    def answer(asked: Asked) -> bytes:
        if protocol == "binary":
            return server.packet(asked, 0x82)
        return b"SERVER_ERROR out of memory storing object\r\n"

    with ScriptedMemcached(protocol, answer) as server:
        run = running(server.url(), how)
        for _ in range(5):
            with pytest.raises(StoreFull):
                run(run.store.create(run.store.key("h"), value(1), 9))
        assert server.connections == 1
