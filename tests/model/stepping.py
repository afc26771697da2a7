"""Requests that stop before each of their store commands, so that a test decides what comes next.

The session manager's own coroutines run here, without an event loop: the store's ``aexecute``
hands each command to whoever drives the coroutine, and waits to be told what becomes of it. So
every interleaving of any number of requests can be played, and played again the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NamedTuple

from sessionstore.core.errors import NotReplicated, OutcomeUnknown, StoreError
from sessionstore.core.flow import Command, Flow
from sessionstore.core.verbs import Conflict, Deleted, Exists, Missing, Version
from sessionstore.stores.base import Store
from sessionstore.stores.memcached.routing import Look
from tests.model.calls import Call
from tests.support.scripted_store import ScriptedStore, Send, Step

ONE_COMMAND = 30.0
"""Seconds that a real store gets for one command: a busy machine is no fault of it."""


class Sent(NamedTuple):
    """A command that is about to reach the store.

    :param call: which it belongs to
    """

    call: Call
    command: Command[Any]

    @property
    def writes(self) -> bool:
        """Whether it may change something. To look which servers there are does not."""
        return self.command.write and not isinstance(self.command.request, Look)


def handle_of(sent: Sent) -> str:
    """The handle of the session that a command is about."""
    return handle_in(sent.command.key)


def handle_in(key: bytes) -> str:
    """The handle in a store's key."""
    return key.decode("ascii").rpartition(":")[2]


Witness = Callable[[Sent, Send], Any]
"""Called instead of ``send``, which it calls: sees the store before and after each command."""


class _Pause:
    def __init__(self, sent: Sent) -> None:
        self._sent = sent

    def __await__(self) -> Generator[Sent, Step, Step]:
        return (yield self._sent)


class PausingStore(ScriptedStore):
    """Another store, whose commands wait to be told what becomes of them.

    :param witness: sees every command that reaches the store, by ``execute`` as well
    :param writing: called with each value that is to be stored and its TTL
    :param ended: called with each verb that has returned or failed
    """

    def __init__(
        self,
        store: Store,
        witness: Witness,
        writing: Callable[[bytes, bytes, float], None],
        ended: Callable[[Call], None],
    ) -> None:
        super().__init__(store)
        # Between two steps anything may happen, also a debugger. Deadlines are steps of their own.
        self.timeout = 1e6
        self._witness = witness
        self._writing = writing
        self._ended = ended

    def create(self, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        self._writing(key, value, ttl)
        return self._called(Call("create", value), self.store.create(key, value, ttl))

    def replace(
        self, key: bytes, value: bytes, ttl: float, version: Version
    ) -> Flow[Version | Conflict | Missing]:
        self._writing(key, value, ttl)
        call = Call("replace", value, version)
        return self._called(call, self.store.replace(key, value, ttl, version))

    def delete(
        self, key: bytes, version: Version | None = None
    ) -> Flow[Deleted | Conflict | Missing]:
        return self._called(Call("delete", None, version), self.store.delete(key, version))

    def _scripted(self, verb: str, flow: Flow[Any]) -> Flow[Any]:
        return self._called(Call(verb), flow)

    def _called(self, call: Call, flow: Flow[Any]) -> Flow[Any]:
        """The same flow, each of its commands knowing its call."""
        try:
            result = yield from super()._scripted(call, flow)
        except NotReplicated as shortfall:
            call.returns(shortfall.result, short=True)
            self._ended(call)
            raise
        except StoreError as error:
            call.error = error
            self._ended(call)
            raise
        call.returns(result)
        self._ended(call)
        return result

    def _note(self, command: Command[Any]) -> tuple[Any, Command[Any]]:
        call, inner = command.request
        self.verbs.append(call.verb)
        return call, inner

    def execute(self, command: Command[Any], deadline: float) -> Any:
        sent = Sent(*self._note(command))
        return self._witness(sent, self._sender(sent))

    async def aexecute(self, command: Command[Any], deadline: float) -> Any:
        sent = Sent(*self._note(command))
        fate = await _Pause(sent)
        return fate(lambda: self._witness(sent, self._sender(sent)))

    def _sender(self, sent: Sent) -> Send:
        return lambda: self.store.execute(sent.command, time.monotonic() + ONE_COMMAND)


def held_back(late: list[Send]) -> Step:
    """The command is delayed on its way: whoever sent it has given up when it arrives.

    :param late: where it is kept until the test has it arrive
    """

    def step(send: Send) -> Any:
        late.append(send)
        raise OutcomeUnknown("the connection was reset after the command was sent")

    return step


class Running:
    """A coroutine of the session manager, driven by hand from command to command."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.waiting: Sent | None = None
        self.result: Any = None
        self.error: Exception | None = None
        self._go_on(None)

    @property
    def done(self) -> bool:
        """Whether it has returned or raised."""
        return self.waiting is None

    def step(self, fate: Step) -> None:
        """Let the command that waits meet its fate, and go on to the next one."""
        self._go_on(fate)

    def cancel(self) -> None:
        """As asyncio cancels a task: at its ``await``, before the command is sent."""
        try:
            self._coroutine.throw(asyncio.CancelledError())
        except asyncio.CancelledError:
            self.waiting = None
        else:
            raise AssertionError("a cancelled task went on")

    def _go_on(self, fate: Step | None) -> None:
        try:
            self.waiting = self._coroutine.send(fate)
        except StopIteration as stop:
            self.waiting, self.result = None, stop.value
        except AssertionError:
            raise  # of the model's own, on its way through the flow
        except Exception as error:  # noqa: BLE001 - the outcome of the request
            self.waiting, self.error = None, error


class Ran:
    """What a function has returned or raised, as :class:`Running` has it when it is done."""

    done = True
    waiting = None

    def __init__(self, function: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        try:
            self.result = function()
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - the outcome of the request
            self.error = error
