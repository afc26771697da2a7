"""A thread that keeps a topology up to date, for as long as somebody uses the topology."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
import weakref
from abc import ABC, abstractmethod
from typing import Any, Final

from sessionstore.stores.attempts import Failure, unavailable
from sessionstore.stores.health import Breaker

logger = logging.getLogger("sessionstore")

LEARNING_SECONDS: Final = 1.0
"""How long one question to one server may take; requests wait for it at most until their own
deadline."""


class Stopped(Exception):
    """The watcher is to end."""


class Watcher(ABC):
    """Runs :meth:`work` in a daemon thread until it is stopped or its owner is collected.

    :param owner: held weakly, so that a store that nobody closed takes its threads with it
    """

    def __init__(self, owner: Any, name: str) -> None:
        self._owner = weakref.ref(owner, lambda _: self.stop())
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        # Reentrant, because a collector's run in the middle may end this very watcher.
        self._speaking = threading.RLock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sessionstore-{name}", daemon=True)

    def start(self) -> None:
        """Begin.

        :raises Failure: the system starts no more threads; this watcher is of no use any more
        """
        try:
            self._thread.start()
        except RuntimeError:
            self.forget()
            text = "no thread can be started to learn where the servers are"
            raise unavailable(text, self._thread.name, silent=False) from None

    @abstractmethod
    def work(self) -> None:
        """For ever, or until :class:`Stopped`."""

    def _run(self) -> None:
        with contextlib.suppress(Stopped):  # its only way to end
            while True:
                try:
                    self.work()
                except Stopped:
                    raise
                except Exception:
                    # A bug of ours must not be the end of learning where the servers are.
                    logger.exception("session store: %s begins anew", self._thread.name)
                    self.rest(LEARNING_SECONDS)
        with self._speaking:
            self.forget()

    def owner(self) -> Any:
        """The owner.

        :raises Stopped: there is none any more
        """
        owner = self._owner()
        if owner is None or self._stopped.is_set():
            raise Stopped
        return owner

    def wake(self) -> None:
        """From any thread: end the wait that the watcher is in."""
        # The lock, because once it is closed its number may be that of somebody's connection. Not
        # waited for: who has it wakes it as well, or has ended it; and in an interpreter that is
        # shutting down that may be a thread which never runs again.
        if not self._speaking.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(OSError):
                self._mouth.send(b"!")  # full: it will wake anyway; closed: it has ended
        finally:
            self._speaking.release()

    def stop(self) -> None:
        """From any thread: end soon."""
        self._stopped.set()
        self.wake()

    def rest(self, seconds: float) -> None:
        """Until the time is over, even if woken.

        :raises Stopped: for good
        """
        self._stopped.wait(seconds)
        self.owner()

    def wait(self, seconds: float, *others: socket.socket) -> bool:
        """Until the time is over, it is woken, or one of the others has something to say.

        :returns: whether it was woken
        :raises Stopped: for good
        """
        self.owner()
        ready = _readable(seconds, self._ear, *others)
        woken = self._ear in ready
        if woken:
            self._ear.recv(4096)
        self.owner()
        return woken

    def forget(self) -> None:
        """Let go of the sockets."""
        self._ear.close()
        self._mouth.close()

    def after_fork(self) -> None:
        """In the child, where the thread does not run: it may have held the locks just then."""
        self._speaking = threading.RLock()
        self._stopped = threading.Event()
        self._stopped.set()
        self.forget()


def _readable(seconds: float, *socks: socket.socket) -> list[socket.socket]:
    if not hasattr(select, "poll"):  # Windows
        return select.select(socks, [], [], seconds)[0]
    poll = select.poll()
    numbers = {sock.fileno(): sock for sock in socks}
    for number in numbers:
        poll.register(number, select.POLLIN)
    return [numbers[number] for number, _ in poll.poll(max(seconds, 0) * 1000)]


class Knowledge:
    """Whether anything is known yet, and if not, why: what requests wait for at first.

    :param patience: seconds of failures after which nobody waits any more
    """

    def __init__(self, name: str, patience: float, *, known: bool = False) -> None:
        self._name = name
        self._known = known
        self._breaker = Breaker(patience)
        self._problem: Failure | None = None
        # Another one after each change. Not a Condition, in whose wait() no greenlet may be killed.
        self._news = threading.Event()
        self._telling = threading.Lock()

    def is_known(self) -> None:
        """Something is known, and stays so."""
        if not self._known:
            self._known = True
            self._tell()

    def failed(self, failure: Failure) -> None:
        """Nobody who was asked could say anything; the last of them this."""
        self._breaker.failed(time.monotonic(), failure.error)
        problem = failure.again(lost=False)
        problem.retry = failure.retry and not self._breaker.is_open
        self._problem = problem
        self._tell()

    def _tell(self) -> None:
        with self._telling:  # or two at once could leave one behind that nobody sets
            news, self._news = self._news, threading.Event()
        news.set()

    def __bool__(self) -> bool:
        return self._known

    def wait(self, until: float) -> None:
        """See :meth:`~.topology.Topology.wait`. What cannot help is not waited for."""
        while True:
            news = self._news  # before looking, or a change in between would be missed
            problem, remaining = self._problem, until - time.monotonic()
            if self._known:
                return
            if problem is not None and (remaining <= 0 or not problem.retry):
                raise problem.again(lost=False)
            if remaining <= 0:
                text = "nobody has said in time where the servers are"
                raise unavailable(text, self._name, silent=False)
            news.wait(remaining)
