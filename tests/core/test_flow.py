"""Flows are driven the same by ``run`` and ``arun``; errors arrive where the command was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sessionstore.core.flow import Command, Flow, arun, run

Drive = Callable[[Flow[Any], Callable[[Command[Any]], Any]], Awaitable[Any]]


async def drive_sync(flow: Flow[Any], execute: Callable[[Command[Any]], Any]) -> Any:
    return run(flow, execute)


async def drive_async(flow: Flow[Any], execute: Callable[[Command[Any]], Any]) -> Any:
    async def aexecute(command: Command[Any]) -> Any:
        await asyncio.sleep(0)
        return execute(command)

    return await arun(flow, aexecute)


pytestmark = pytest.mark.anyio
both_drivers = pytest.mark.parametrize("drive", [drive_sync, drive_async])


@both_drivers
async def test_a_flow_without_commands_returns_its_result(drive: Drive) -> None:
    def flow() -> Flow[str]:
        yield from ()
        return "done"

    assert await drive(flow(), lambda command: pytest.fail("nothing was to be sent")) == "done"


@both_drivers
async def test_commands_are_sent_in_order_and_their_replies_decoded(drive: Drive) -> None:
    sent = []

    def flow() -> Flow[int]:
        first = yield from Command("a", decode=int)
        second = yield from Command("b", decode=len)
        return first + second

    def execute(command: Command[Any]) -> str:
        sent.append(command.request)
        return "40"

    assert await drive(flow(), execute) == 42
    assert sent == ["a", "b"]


@both_drivers
async def test_a_transport_error_is_thrown_in_at_the_yield(drive: Drive) -> None:
    def flow() -> Flow[str]:
        try:
            yield from Command("a")
        except ConnectionError as error:
            return f"caught {error}"
        return "unreachable"

    def execute(command: Command[Any]) -> Any:
        raise ConnectionError("reset")

    assert await drive(flow(), execute) == "caught reset"


@both_drivers
async def test_a_decoding_error_is_thrown_in_at_the_yield(drive: Drive) -> None:
    def flow() -> Flow[str]:
        try:
            yield from Command("a", decode=int)
        except ValueError:
            return (yield from Command("b"))
        return "unreachable"

    assert await drive(flow(), lambda command: f"reply to {command.request}") == "reply to b"


@both_drivers
async def test_an_error_that_the_flow_does_not_catch_reaches_the_caller(drive: Drive) -> None:
    closed = []

    def flow() -> Flow[None]:
        try:
            yield from Command("a")
        finally:
            closed.append(True)

    def execute(command: Command[Any]) -> Any:
        raise ConnectionError("reset")

    with pytest.raises(ConnectionError, match="reset"):
        await drive(flow(), execute)
    assert closed == [True]


@both_drivers
async def test_an_error_of_the_flow_itself_reaches_the_caller(drive: Drive) -> None:
    def flow() -> Flow[None]:
        yield from Command("a")
        raise LookupError("the flow's own")

    with pytest.raises(LookupError, match="the flow's own"):
        await drive(flow(), lambda command: None)


@both_drivers
async def test_an_interrupt_closes_the_flow_and_is_not_the_flows_to_catch(drive: Drive) -> None:
    seen: list[str] = []

    def flow() -> Flow[None]:
        try:
            yield from Command("a")
        except Exception:  # noqa: BLE001 (that it does not get here is the point)
            seen.append("caught")
        finally:
            seen.append("closed")

    class Interrupt(BaseException):
        pass

    def execute(command: Command[Any]) -> Any:
        raise Interrupt

    with pytest.raises(Interrupt):
        await drive(flow(), execute)
    assert seen == ["closed"]


async def test_a_cancelled_task_closes_its_flow() -> None:
    started, closed = asyncio.Event(), []

    def flow() -> Flow[None]:
        try:
            yield from Command("a")
        finally:
            closed.append(True)

    async def execute(command: Command[Any]) -> Any:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(arun(flow(), execute))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]


# -- a command is a value --


def test_commands_with_the_same_request_are_equal_whatever_decodes_the_reply() -> None:
    one = Command(("load", b"k"), decode=int, key=b"k")
    assert one == Command(("load", b"k"), decode=len, key=b"k")
    assert hash(one) == hash(Command(("load", b"k"), key=b"k"))


@pytest.mark.parametrize(
    "other",
    [
        Command(("load", b"other"), key=b"k"),
        Command(("load", b"k"), key=b"other"),
        Command(("load", b"k"), key=b"k", write=True),
        ("load", b"k"),
    ],
)
def test_commands_differ_by_request_key_and_effect(other: object) -> None:
    assert Command(("load", b"k"), key=b"k") != other


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        (("create", b"k", b"the payload"), "<Command 'create' b'k'>"),
        (b"SET the payload", "<Command 'bytes' b'k'>"),
    ],
)
def test_a_commands_repr_names_it_and_shows_no_payload(request_: Any, shown: str) -> None:
    assert repr(Command(request_, key=b"k")) == shown


def test_a_reply_is_passed_on_as_it_is_without_a_decoder() -> None:
    reply = object()
    assert Command("a").decode(reply) is reply
