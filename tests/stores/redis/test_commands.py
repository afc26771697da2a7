"""The flows, with scripted replies: no server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sessionstore.core.errors import StoreRefused, StoreUnavailable
from sessionstore.core.flow import Command, Flow, run
from sessionstore.core.verbs import Conflict, Deleted, Entry, Exists, Missing
from sessionstore.stores.redis import commands
from sessionstore.stores.redis.failures import ScriptMissing
from sessionstore.testing.driving import value

KEY = b"p:s:handle"
VERSION = value(1)[1:13]


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
    result, asked = scripted(commands.load(KEY), value(1))
    assert result == Entry(value(1), VERSION)
    assert asked == [Command(("GET", KEY), key=KEY)]
    assert scripted(commands.load(KEY), None)[0] is None


def test_create_is_one_command_with_an_expiry() -> None:
    result, asked = scripted(commands.create(KEY, value(1), 1.5), b"OK")
    assert result == VERSION
    assert asked == [Command(("SET", KEY, value(1), "NX", "PX", 1500), key=KEY, write=True)]
    assert scripted(commands.create(KEY, value(1), 1), None)[0] == Exists()


@pytest.mark.parametrize(("reply", "result"), [(1, value(2)[1:13]), (None, Missing())])
def test_replace(reply: Any, result: Any) -> None:
    got, asked = scripted(commands.replace(KEY, value(2), 60, VERSION), reply)
    assert got == result
    request = ("EVALSHA", commands.REPLACE.sha, 1, KEY, VERSION, value(2), 60000)
    assert asked == [Command(request, key=KEY, write=True)]


def test_a_conflict_takes_one_round_trip() -> None:
    got, asked = scripted(commands.replace(KEY, value(2), 60, VERSION), value(3, b"theirs"))
    assert got == Conflict(Entry(value(3, b"theirs"), value(3)[1:13]))
    assert len(asked) == 1


def test_delete() -> None:
    assert scripted(commands.delete(KEY, None), 1)[0] == Deleted()
    assert scripted(commands.delete(KEY, None), 0)[0] == Missing()
    assert scripted(commands.delete(KEY, VERSION), 1)[0] == Deleted()
    assert scripted(commands.delete(KEY, VERSION), None)[0] == Missing()
    conflict = Conflict(Entry(value(3), value(3)[1:13]))
    assert scripted(commands.delete(KEY, VERSION), value(3))[0] == conflict


def test_a_script_the_server_does_not_know_is_sent_once() -> None:
    result, asked = scripted(commands.delete(KEY, VERSION), ScriptMissing("NOSCRIPT"), 1)
    assert result == Deleted()
    assert asked[1] == Command(
        ("EVAL", commands.DELETE.source, 1, KEY, VERSION), key=KEY, write=True
    )
    with pytest.raises(ScriptMissing):
        scripted(commands.delete(KEY, VERSION), ScriptMissing("a"), ScriptMissing("b"))


def test_another_error_is_not_answered_with_eval() -> None:
    with pytest.raises(StoreUnavailable):
        scripted(commands.delete(KEY, VERSION), StoreUnavailable("down"))


def test_server() -> None:
    hello = [b"server", b"redis", b"version", b"7.0.15", b"proto", 2, b"modules", []]
    assert scripted(commands.server(), hello)[0] == "redis 7.0.15"


@pytest.mark.parametrize("reply", [b"QUEUED", 0, -1, 2, 1.5, True, [b"a"], {}, b"", "text"])
@pytest.mark.parametrize(
    "flow",
    [
        lambda: commands.load(KEY),
        lambda: commands.create(KEY, value(1), 1),
        lambda: commands.replace(KEY, value(1), 1, VERSION),
        lambda: commands.delete(KEY, None),
        lambda: commands.delete(KEY, VERSION),
        commands.server,
    ],
    ids=["load", "create", "replace", "delete", "delete_if", "server"],
)
def test_a_reply_of_another_kind_is_an_error(flow: Callable[[], Flow[Any]], reply: Any) -> None:
    name = next(flow()).request[0]
    fits = {
        "GET": type(reply) is bytes,
        "DEL": type(reply) is int and reply == 0,
        "EVALSHA": type(reply) is bytes,
    }
    if not fits.get(name):
        with pytest.raises(StoreRefused, match="unexpected reply"):
            scripted(flow(), reply)


def test_ttl_is_never_zero_and_never_too_large() -> None:
    assert commands.milliseconds(1e-9) == 1
    assert commands.milliseconds(14 * 86400) == 1_209_600_000
    # Redis adds it to the time now, in 64 bits.
    assert commands.milliseconds(float("inf")) + 2_000_000_000_000 < 2**63
