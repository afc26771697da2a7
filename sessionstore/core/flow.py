"""Commands, flows, and the two drivers that run them: sync and async from one source.

A :class:`Command` is a value: what to send, and a pure function that decodes the reply. A
:data:`Flow` is a generator of commands; whatever has more than one step is one. Nothing here
knows how a command travels: ``execute`` does.

The same separation as in httpx's ``auth_flow`` and psycopg 3's protocol generators.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


def _same(reply: Any) -> Any:
    return reply


class Command(Generic[T]):
    """One request to a store.

    :param request: what to send, in the form that the store's transport takes
    :param decode: turns the transport's reply into the result; pure
    :param key: the key it is about, by which a sharded store finds the node
    :param write: whether it changes data, so that it must not be repeated blindly after its
        reply was lost (the transport then raises :class:`~.errors.OutcomeUnknown`)
    :param route: where the transport has a choice, which one; means something to that store alone

    >>> def flow():
    ...     first = yield from Command("a", decode=int)
    ...     return first + 1
    >>> run(flow(), lambda command: "41")
    42
    """

    __slots__ = ("decode", "key", "request", "route", "write")

    def __init__(
        self,
        request: Any,
        decode: Callable[[Any], T] = _same,
        *,
        key: bytes = b"",
        write: bool = False,
        route: object = None,
    ) -> None:
        self.request = request
        self.decode = decode
        self.key = key
        self.write = write
        self.route = route

    def __iter__(self) -> Generator[Command[Any], Any, T]:
        """Let a flow write ``value = yield from command``, typed."""
        result: T = yield self
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Command):
            return NotImplemented
        return (self.request, self.key, self.write, self.route) == (
            *(other.request, other.key, other.write, other.route),
        )

    def __hash__(self) -> int:
        return hash((self.key, self.write))

    def __repr__(self) -> str:
        # The request holds the session's payload: only its name may be shown.
        name = self.request[0] if isinstance(self.request, tuple) else type(self.request).__name__
        return f"<Command {name!r} {self.key!r}>"


Flow = Generator[Command[Any], Any, R_co]
"""A generator of commands that returns a result."""


def run(flow: Flow[T], execute: Callable[[Command[Any]], Any]) -> T:
    """Drive a flow with a function that sends a command and returns the raw reply.

    An error of ``execute``, or of decoding, is thrown into the flow at its ``yield``.
    """
    try:
        command = next(flow)
        while True:
            try:
                reply = command.decode(execute(command))
            except Exception as error:  # noqa: BLE001 (whatever it is, the flow decides)
                command = flow.throw(error)
            else:
                command = flow.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


async def arun(flow: Flow[T], execute: Callable[[Command[Any]], Awaitable[Any]]) -> T:
    """:func:`run`, for an ``execute`` that is awaited."""
    try:
        command = next(flow)
        while True:
            try:
                reply = command.decode(await execute(command))
            except Exception as error:  # noqa: BLE001 (whatever it is, the flow decides)
                command = flow.throw(error)
            else:
                command = flow.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()
