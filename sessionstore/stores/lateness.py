"""Ending by a deadline what cannot be told one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NoThread(OSError):
    """The system starts no more threads: nothing is wrong with any server."""

    def __str__(self) -> str:
        return "no thread can be started"


def call_by(
    until: float, function: Callable[[], T], discard: Callable[[T], object] = lambda late: None
) -> T:
    """Call a function in a thread, and wait for it only so long.

    For what blocks rarely and without a timeout of its own, such as a name lookup: a thread costs
    about 50 us.

    :param until: on the clock of :func:`time.monotonic`
    :param discard: called, in that thread, with a result that came too late
    :raises TimeoutError: it is not done by then; it goes on by itself
    :raises NoThread: it was not called
    """
    lock = threading.Lock()
    late = False
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            errors.append(error)
            return
        with lock:
            if not late:
                results.append(result)
                return
        discard(result)

    thread = threading.Thread(target=work, name="sessionstore-wait", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise NoThread from None
    thread.join(max(until - time.monotonic(), 0))
    with lock:
        late = True
    if results:
        return results[0]
    if errors:
        raise errors[0]
    raise TimeoutError
